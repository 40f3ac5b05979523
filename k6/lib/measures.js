// What the charts show: one entry a chart, in the published order.

import * as format from './format.js';

const duration = (key, title, value) => ({
  key,
  title,
  value,
  kind: 'time',
  better: 'lower',
  text: (step) => format.time(value(step)),
  reference: format.time,
  scale: (highest) => (highest >= 10000 ? { unit: 's', factor: 0.001 } : { unit: 'ms', factor: 1 }),
});

const latency = (key, title) => duration(key, title, (step) => step.latency_ms[key]);

// What only the lanes have that go through the queue.
const booked = (key, title, value, predicted) => ({
  ...duration(key, title, (step) => (step.books === null ? null : value(step.books))),
  has: (step) => step.books !== null,
  predicted: (step) => (step.prediction === null ? null : predicted(step.prediction)),
});

// The axis ends at one of three rates, so that charts of different runs can be laid side by side.
const percentage = {
  kind: 'share',
  better: 'lower',
  scale: (highest) => ({ unit: '%', factor: 100, top: [10, 25].find((top) => highest * 100 <= top) || 100 }),
  reference: format.share,
};

/**
 * The four charts of every report. `value` is what is drawn, `text` how it reads, and `reference` how any value of its kind
 * does; `scale` gives the axis its unit and, where it is fixed, its top; `good` is the part of a bar that stands for
 * expected answers, `nothing` is what a chart says whose values are all zero, `has` says which steps have a bar at all,
 * and `predicted` what theory expects, or null. `kind` and `better` say how two runs compare.
 */
export const measures = [
  latency('avg', 'Average latency'),
  latency('p95', 'p95 latency'),
  {
    key: 'throughput',
    title: 'Throughput',
    kind: 'rate',
    better: 'higher',
    value: (step) => step.throughput_rps,
    good: (step) => step.goodput_rps,
    text: (step) => (step.goodput_rps === step.throughput_rps ? format.rate(step.throughput_rps)
      : `${format.rate(step.throughput_rps)}, of which good ${format.rate(step.goodput_rps)}`),
    reference: format.rate,
    scale: () => ({ unit: 'answers a second', factor: 1 }),
  },
  {
    ...percentage,
    key: 'drop',
    title: 'Drop rate',
    nothing: 'nothing was dropped',
    value: (step) => step.drop_share,
    predicted: (step) => (step.predicted_drop_share === 0 ? null : step.predicted_drop_share),
    text: (step) => format.share(step.drop_share),
  },
];

/** The fifth chart, for runs that had errors. */
export const errorMeasure = {
  ...percentage,
  key: 'error',
  title: 'Error rate',
  value: (step) => step.error_share,
  text: (step) => format.share(step.error_share),
};

/** The charts of the books, for runs that have them. */
export const bookMeasures = [
  booked('done_p50', 'Accepted to done, p50', (books) => books.end_to_end_ms.p50, (expected) => expected.end_to_end_ms.p50),
  booked('done_p95', 'Accepted to done, p95', (books) => books.end_to_end_ms.p95, (expected) => expected.end_to_end_ms.p95),
  booked('drain', 'Drain time', (books) => books.drain_ms, (expected) => expected.drain_ms),
];

/** What is compared of two runs. */
export const compared = [...measures, errorMeasure, ...bookMeasures];
