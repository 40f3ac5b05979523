// The columns of the tables of steps and of books, on the terminal and in the report alike.

import { bookedSteps } from './books.js';
import * as format from './format.js';

/**
 * The columns that a run needs, each `{ title, text(step), left }`. Good answers and errors have columns only where a
 * run had errors, and `cut` only where a step was cut short.
 */
export function stepColumns(summary) {
  const failed = summary.steps.some((step) => step.error_share > 0);
  const cut = summary.steps.some((step) => !step.complete);
  return [
    { title: 'rps', text: (step) => format.count(step.rps) },
    { title: 'lane', text: (step) => step.lane, left: true },
    { title: 'sent', text: (step) => format.count(step.sent) },
    { title: 'answers', text: (step) => format.rate(step.throughput_rps) },
    ...(failed ? [{ title: 'good', text: (step) => format.rate(step.goodput_rps) }] : []),
    { title: 'avg', text: (step) => format.time(step.latency_ms.avg) },
    { title: 'p50', text: (step) => format.time(step.latency_ms.p50) },
    { title: 'p95', text: (step) => format.time(step.latency_ms.p95) },
    { title: 'p99', text: (step) => format.time(step.latency_ms.p99) },
    { title: 'max', text: (step) => format.time(step.latency_ms.max) },
    { title: 'dropped', text: (step) => format.share(step.drop_share) },
    { title: 'predicted', text: (step) => format.share(step.predicted_drop_share) },
    ...(failed ? [{ title: 'errors', text: (step) => format.share(step.error_share) }] : []),
    ...(cut ? [{ title: 'measured', text: (step) => (step.complete ? 'whole' : `first ${format.span(step.seconds)}`) }] : []),
  ];
}

const states = { balanced: 'balanced', missing: 'TASKS MISSING', surplus: 'TOO MANY', unread: 'NOT READ' };

/** The columns of the books, for steps that have any. Those for what should not happen are there only where it did. */
export function bookColumns(summary) {
  const all = bookedSteps(summary);
  const any = (name) => all.some((step) => step.books[name] > 0);
  const number = (name) => ({ title: name, text: (step) => format.count(step.books[name]) });
  const span = (title, name, statistic) => ({ title, text: (step) => format.time(step.books[name][statistic]) });
  return [
    { title: 'rps', text: (step) => format.count(step.rps) },
    { title: 'lane', text: (step) => step.lane, left: true },
    ...['accepted', 'completed', 'dead', 'discarded', 'missing'].map(number),
    ...['surplus', 'unknown'].filter(any).map(number),
    number('duplicates'),
    span('done p50', 'end_to_end_ms', 'p50'),
    ...(all.some(({ prediction }) => prediction !== null)
      ? [{ title: 'predicted', text: ({ prediction }) => format.time(prediction === null ? null : prediction.end_to_end_ms.p50) }] : []),
    span('p95', 'end_to_end_ms', 'p95'),
    span('max', 'end_to_end_ms', 'max'),
    { title: 'drain', text: (step) => format.time(step.books.drain_ms) },
    { title: 'books', text: (step) => states[step.books.state], left: true },
  ];
}
