// GStreamer's caps as people read them. Pure.

/** Splits at a separator outside of brackets and quotes. @param {string} text @param {string} separator one character */
function split(text, separator) {
  const parts = [''];
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (c === '\\' && quoted) parts[parts.length - 1] += text[i++];
    else if (c === '"') quoted = !quoted;
    else if (!quoted && '([{<'.includes(c)) depth += 1;
    else if (!quoted && ')]}>'.includes(c)) depth -= 1;
    if (c === separator && depth === 0 && !quoted) parts.push('');
    else parts[parts.length - 1] += text[i] ?? '';
  }
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

/**
 * @param {string|null|undefined} text "video/x-raw, format=(string)I420, width=(int)640"
 * @returns {{media: string, fields: [string, string][]}[]} one per structure, without the types of the values
 */
export function parseCaps(text) {
  return split(text ?? '', ';').map((structure) => {
    const [media, ...fields] = split(structure, ',');
    return {
      media,
      fields: fields.map((field) => {
        const at = field.indexOf('=');
        const value = field.slice(at + 1).replace(/^\s*\([a-z0-9]+\)\s*/i, '').replace(/^"(.*)"$/, '$1');
        return /** @type {[string, string]} */ ([field.slice(0, at).trim(), value]);
      }),
    };
  });
}

/**
 * The gist of caps: format, size, rate.
 * @param {string|null|undefined} text @returns {string} "I420 640×480 30 fps", "H264 constrained-baseline", or ""
 */
export function capsGist(text) {
  const [first] = parseCaps(text);
  if (!first) return '';
  const field = Object.fromEntries(first.fields);
  const words = [kindOf(first.media, field)];
  if (field.width && field.height) words.push(`${field.width}×${field.height}`);
  const rate = /^(\d+)\/(\d+)$/.exec(field.framerate ?? '');
  if (rate && rate[1] !== '0') words.push(`${Number((Number(rate[1]) / Number(rate[2])).toFixed(2))} fps`);
  return words.join(' ');
}

/** @param {string} media @param {Record<string, string>} field */
function kindOf(media, field) {
  if (media.startsWith('video/x-raw')) return field.format ?? 'raw';
  if (media === 'application/x-rtp') return ['RTP', field['encoding-name'], field.payload].filter(Boolean).join(' ');
  const codec = media.replace(/^\w+\/(x-)?/, '').toUpperCase();
  return field.profile && field.profile !== '0' ? `${codec} ${field.profile}` : codec;
}
