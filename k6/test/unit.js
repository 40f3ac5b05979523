// Tests of everything that is computed without load: `k6 run k6/test/unit.js`. It fails if any test does.

import { test } from './harness.js';
import { booksTests } from './unit/books.js';
import { queueingTests } from './unit/queueing.js';
import { compareTests } from './unit/compare.js';
import { quietTests } from './unit/quiet.js';
import { reportTests } from './unit/report.js';
import { settingsTests } from './unit/settings.js';
import { stepsTests } from './unit/steps.js';
import { summaryTests } from './unit/summary.js';

/** One VU runs all tests once; no test may fail, and there must be some. */
export const options = { vus: 1, iterations: 1, thresholds: { checks: ['rate==1'] } };

export default function () {
  test('settings', settingsTests);
  test('steps', stepsTests);
  test('summary', summaryTests);
  test('books', booksTests);
  test('queueing', queueingTests);
  test('compare', compareTests);
  test('quiet', quietTests);
  test('report', reportTests);
}

export function handleSummary(data) {
  const { passes, fails } = data.metrics.checks.values;
  return { stdout: `${passes} tests passed, ${fails} failed\n` };
}
