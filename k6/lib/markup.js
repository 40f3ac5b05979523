// Writing HTML and SVG as text.

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Escapes text for use as content or as a quoted attribute, in HTML and in SVG. */
export function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => entities[character]);
}

/** Escapes prose for HTML and keeps numbers and their units on one line. */
export function prose(text) {
  return escape(text).replace(/(\d) (?=(?:%|ms|s|min|VUs?|bytes)(?![a-z]))/g, '$1&nbsp;');
}

/** A coordinate with at most two decimals, which is finer than any screen. */
export function at(number) {
  return String(Math.round(number * 100) / 100);
}
