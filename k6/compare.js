// Compares two runs of the sweep from what they left, without any load. Start it with `k6/compare`.

import { Counter } from 'k6/metrics';

import { compare } from './lib/compare.js';
import { passes, regression } from './lib/findings.js';
import { report } from './lib/report.js';
import { readSummary } from './lib/stored.js';
import { comparisonReport, findingLine } from './lib/terminal.js';
import { readTolerance } from './lib/tolerance.js';

const [before, now] = [__ENV.A_FILE, __ENV.B_FILE].map((file) => readSummary(open(file), file));
const { tolerance, problems } = readTolerance(__ENV);
problems.push(...[before, now].map(({ problem }) => problem).filter((problem) => problem !== ''));
if (problems.length > 0) {
  throw `The runs cannot be compared:\n  ${problems.join('\n  ')}`;
}
const comparison = compare(before.summary, now.summary, tolerance);
const found = regression(comparison);

const failures = new Counter('failures');

/** One VU, once: k6 has to run something, and fails where the comparison does. */
export const options = { vus: 1, iterations: 1, thresholds: { failures: ['count==0'] } };

export default function () {
  failures.add(found.filter(({ level }) => level === 'failure').length);
}

export function handleSummary() {
  const findings = [...now.summary.findings.filter(kept), ...found];
  const summary = { ...now.summary, comparison, findings, passed: passes(findings) };
  const file = `${__ENV.B_FILE.replace(/[^/]*$/, '')}against-${comparison.baseline.replace(/[^A-Za-z0-9._-]/g, '_')}.html`;
  return { [file]: report(summary), stdout: ['', ...comparisonReport(summary), ...found.map(findingLine), `Report: ${file}`, ''].join('\n') };
}

/** Findings of the run itself, and not those of an earlier comparison. */
function kept({ text }) {
  return now.summary.comparison === null || !regression(now.summary.comparison).some((earlier) => earlier.text === text);
}
