// The frame of an HTML page that needs no network and no other file, and that cannot be made to load or run anything else.

import crypto from 'k6/crypto';

import { escape } from './markup.js';
import { styleSheet } from './style.js';

const script = open(import.meta.resolve('./hover.js'));

/** Only the one script runs, whatever text comes into the page, and nothing is fetched from anywhere. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; script-src ";

const icon = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 26 26"><rect y="5" width="26" height="6" rx="3" fill="%23e07b2e"/>' +
  '<rect y="15" width="26" height="6" rx="3" fill="%234f8df0"/></svg>';

/** A whole page around the content of its `main`. */
export function page(title, content) {
  const hash = crypto.sha256(script, 'base64');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escape(`${policy}'sha256-${hash}'`)}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escape(title)}</title>
<link rel="icon" href="data:image/svg+xml,${escape(icon)}">
<style>${styleSheet()}</style>
</head>
<body>
<main>
${content}
</main>
<script>${script}</script>
</body>
</html>
`;
}
