// Says so where a browser is too old for this page's modules, which then never run. Written for old browsers itself, and
// loaded as a plain script, for that reason. Owns the banner until the page has started.
(function () {
  var NEEDED = 'Chrome or Edge 89, Firefox 90, Safari 15, or a newer one';
  var root = document.documentElement;
  /** @param {string} why */
  function say(why) {
    var banner = document.getElementById('banner');
    var text = document.getElementById('banner-text');
    if (!banner || !text || root.getAttribute('data-started')) return;
    text.textContent = 'This page does not run in this browser' + why + '. It needs ' + NEEDED + '.';
    banner.setAttribute('data-level', 'error');
    banner.hidden = false;
  }
  window.addEventListener('error', function (event) {
    // What a picture or a style sheet lacks comes without a message.
    if (event.message) say(' (' + event.message + ')');
  });
  if (!('noModule' in document.createElement('script'))) {
    document.addEventListener('DOMContentLoaded', function () { say(''); });
  }
})();
