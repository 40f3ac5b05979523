// The two kinds of findings.

/** A finding that fails the run. */
export function failure(text) {
  return { level: 'failure', text };
}

/** A finding that a reader has to know, but that fails nothing. */
export function note(text) {
  return { level: 'note', text };
}
