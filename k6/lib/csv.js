// steps.csv: one line a step, for spreadsheets and diffs.

import { failureClasses } from './steps.js';

const booked = ['state', 'accepted', 'unknown', 'settled', 'completed', 'dead', 'discarded', 'missing', 'surplus', 'hidden', 'duplicates',
  'drain_ms', 'settled_after_seconds', 'read_after_seconds', 'late'];
const expected = {
  utilisation: (prediction) => prediction.utilisation,
  queue_wait_avg_ms: (prediction) => prediction.queue_wait_ms.avg,
  end_to_end_p50_ms: (prediction) => prediction.end_to_end_ms.p50,
  end_to_end_p95_ms: (prediction) => prediction.end_to_end_ms.p95,
  drain_ms: (prediction) => prediction.drain_ms,
};
const spans = ['end_to_end', 'queue_wait', 'service_time'];

const plain = ['name', 'lane', 'rps', 'run', 'starts_at_seconds', 'seconds', 'complete', 'vus', 'sent', 'answered', 'ok',
  'unanswered', 'dropped', 'throughput_rps', 'goodput_rps', 'drop_share', 'predicted_drop_share', 'error_share'];
const times = ['avg', 'p50', 'p95', 'p99', 'max'];

/** The steps of a summary as RFC 4180 text with a header line. What does not exist is an empty field. */
export function stepsCSV(summary) {
  const header = [...plain, ...times.map((name) => `${name}_ms`), ...failureClasses.map((kind) => `failed_${kind}`),
    ...booked.map((name) => `books_${name}`), ...spans.flatMap((span) => times.map((name) => `${span}_${name}_ms`)),
    ...Object.keys(expected).map((name) => `predicted_${name}`)];
  const lines = summary.steps.map((step) => [
    ...plain.map((name) => step[name]),
    ...times.map((name) => step.latency_ms[name]),
    ...failureClasses.map((kind) => step.failures[kind]),
    ...booked.map((name) => (step.books === null ? null : step.books[name])),
    ...spans.flatMap((span) => times.map((name) => (step.books === null ? null : step.books[`${span}_ms`][name]))),
    ...Object.values(expected).map((value) => (step.prediction === null ? null : value(step.prediction))),
  ]);
  return [header, ...lines].map((fields) => `${fields.map(field).join(',')}\r\n`).join('');
}

function field(value) {
  const text = value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
