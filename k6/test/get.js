// Prints the body of URL: what the end-to-end test uses instead of curl, which not every machine has.

import http from 'k6/http';

export function setup() {
  return http.get(__ENV.URL).body;
}

export default function () {
  // Everything happens in setup.
}

export function handleSummary(data) {
  return { stdout: data.setup_data };
}
