// End-of-test data as k6 hands it out, made from a plan and a few numbers, so that reports can be tested without load.

import { figuresOf, metricName } from '../lib/books.js';
import { readSettings } from '../lib/settings.js';
import { planSteps, stepMetrics } from '../lib/steps.js';
import { summarise } from '../lib/summary.js';

/** The settings of an environment, which must be valid. */
export function settingsOf(env) {
  const { settings, problems } = readSettings(env);
  if (problems.length > 0) {
    throw new Error(problems.join('; '));
  }
  return settings;
}

/**
 * Makes the summary of a run. `measure(step)` gives `{ sent, answered, dropped, failures, times, books }` of a planned
 * step, or null for a step that was not reached; `ran` is how many seconds the run took, by default all that were planned,
 * and `against` the run that it is compared with, as summarise takes it.
 *
 * `books` are `{ accepted, unknown, step, end }`: what k6 counted, and the two readings, each as the gateway answers
 * and with `settled_after` and `read_after` besides. By default they balance at the step's end.
 */
export function summaryOf(env, measure, { ran, extraEnv, against = null } = {}) {
  const settings = settingsOf(env);
  const plan = planSteps(settings);
  const metrics = {};
  for (const step of plan) {
    Object.assign(metrics, stepData(step, measure(step)));
  }
  const planned = plan.length * (settings.duration + settings.gap);
  const data = {
    metrics,
    state: { testRunDurationMs: (ran === undefined ? planned : ran) * 1000 },
    setup_data: { run: settings.run || 'test', startedAt: '2026-01-31T10:00:00.000Z', k6: '1.8.1' },
  };
  return summarise(data, settings, plan, extraEnv || {}, new Date('2026-01-31T10:08:48.000Z'), against);
}

function stepData(step, measured) {
  const names = stepMetrics(step);
  const { sent = 0, answered = sent, dropped = 0, failures = {}, times = null } = measured || {};
  const counter = (count) => ({ type: 'counter', values: { count, rate: count / 999 } });
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  const data = {
    [names.sent]: counter(sent),
    [names.iterations]: counter(answered),
    [names.dropped]: counter(dropped),
    [names.failed]: counter(failed),
    [names.latency]: { type: 'trend', values: trend(times, answered - failed) },
  };
  for (const kind of Object.keys(names.failures)) {
    data[names.failures[kind]] = counter(failures[kind] || 0);
  }
  const { accepted = answered - failed, unknown = 0, ...read } = (measured || {}).books || { step: answer(answered - failed) };
  data[names.accepted] = counter(accepted);
  data[names.unknown] = counter(unknown);
  for (const reading of Object.keys(read)) {
    const { settled_after: settledAfter = 1.5, read_after: readAfter = 2.5 } = read[reading];
    for (const [figure, value] of [...figuresOf(read[reading]), ['settled_after', settledAfter], ['read_after', readAfter]]) {
      data[metricName(step, reading, figure)] = { type: 'gauge', values: { value, min: value, max: value } };
    }
  }
  return data;
}

/** What the gateway answers of a run with so many completed tasks; `others` are fields with other values. */
export function answer(completed, others = {}) {
  const { dead = 0, discarded = 0 } = others;
  const span = completed === 0 ? null : { count: completed, mean: 1010, p50: 1005, p95: 1020, p99: 1030, max: 1040.1234 };
  return {
    completed, dead, discarded, settled: completed + dead + discarded, accepted_here: completed, duplicates: 0, caught_up: true,
    end_to_end_ms: span, queue_wait_ms: span, service_time_ms: span, drain_ms: completed === 0 ? null : 1001.5, ...others,
  };
}

function trend(times, count) {
  const [avg, med, p95, p99, max] = times === null || count === 0 ? [0, 0, 0, 0, 0] : times;
  return { avg, med, min: 0, 'p(95)': p95, 'p(99)': p99, max, count: times === null ? 0 : count };
}

/** The measurements that Little's law and a fast gateway give for the published sweep. */
export function published(step) {
  const scheduled = step.rps * step.seconds + 1;
  if (step.lane === 'async') {
    return { sent: scheduled, times: [2.41, 2.1, 3.9, 9.2, 31] };
  }
  const sent = Math.min(scheduled, Math.round((step.vus * step.seconds) / 1.001));
  return { sent, dropped: scheduled - sent, times: [1002.3, 1001.8, 1004.6, 1012, 1033] };
}
