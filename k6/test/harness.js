// A test is a named function that throws when it finds something wrong. k6 counts each as one check.

import { check } from 'k6';

/** Runs one test, and says what it found where it fails. */
export function test(name, body) {
  let problem = '';
  try {
    body();
  } catch (error) {
    problem = error && error.message ? error.message : String(error);
    console.error(`FAILED ${name}: ${problem}`);
  }
  check(problem, { [name]: (text) => text === '' });
}

/** Fails unless both values have the same JSON. */
export function equal(actual, expected) {
  const [found, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (found !== wanted) {
    throw new Error(`got ${found}, want ${wanted}`);
  }
}

/** Fails unless a number is within a distance of another. */
export function close(actual, expected, distance) {
  if (!(Math.abs(actual - expected) <= distance)) {
    throw new Error(`got ${actual}, want ${expected} within ${distance}`);
  }
}

/** Fails unless a text contains a part. */
export function contains(text, part) {
  if (!String(text).includes(part)) {
    throw new Error(`${JSON.stringify(part)} is not in ${JSON.stringify(String(text).slice(0, 2000))}`);
  }
}

/** Fails if a text contains a part. */
export function lacks(text, part) {
  if (String(text).includes(part)) {
    throw new Error(`${JSON.stringify(part)} is in the text`);
  }
}

/** Fails unless a condition holds. */
export function ok(condition, message) {
  if (!condition) {
    throw new Error(message);
  }
}
