// Applies the remembered colour theme before the first paint; loaded as a plain blocking script for that reason.
// Owns the `data-theme` attribute and its memory, nothing else.
(() => {
  const KEY = 'realsense-theme';
  const root = document.documentElement;
  const read = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden: the theme then lasts as long as the page
    }
  };
  const stored = read();
  if (stored === 'dark' || stored === 'light') root.dataset.theme = stored;
  document.addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme-toggle')?.addEventListener('click', () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === 'dark'
        : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset.theme = dark ? 'light' : 'dark';
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // see above
      }
    });
  });
})();
