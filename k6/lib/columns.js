// The columns of the steps table, on the terminal and in the report alike.

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
