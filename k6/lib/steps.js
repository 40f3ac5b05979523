// The plan: which steps a sweep has, and what k6 needs to be told so that it runs and measures each on its own.

import { takesItsTime } from './actions.js';
import { bookMetrics, booksScenario } from './books.js';
import { lanes } from './lanes.js';
import { neededVUs, predictedDrop } from './little.js';

/** The share of a step's requests, dropped or failed, beyond which a breakpoint run stops. */
export const breakShare = 0.01;

/**
 * Kinds of answer that are not the promised one: refusals (429, 503), acceptances where a result was asked for, wrong
 * statuses or bodies, and no answer.
 */
export const failureClasses = ['refused', 'late', '2xx', '3xx', '4xx', '5xx', 'none'];

/** Those of them by which the system keeps to its own bounds: they are errors, but do not fail a run. */
export const boundedClasses = ['refused', 'late'];

/**
 * Plans the steps: at each rate one step a lane, in the order of the settings, a gap after each.
 *
 * k6 tags drops with nothing but the scenario's name, so the name says lane and rate. Rates are padded with zeros, so
 * that names sort as numbers.
 */
export function planSteps(settings) {
  const width = String(settings.rates[settings.rates.length - 1]).length;
  const steps = [];
  for (const rps of settings.rates) {
    for (const lane of settings.lanes) {
      steps.push({
        name: `${lane}_${String(rps).padStart(width, '0')}`,
        lane,
        rps,
        startsAt: steps.length * (settings.duration + settings.gap),
        seconds: settings.duration,
        vus: stepVUs(settings, lane, rps),
        books: settings.books && lanes[lane].queued,
        predictedDrop: stepPrediction(settings, lane, rps),
      });
    }
  }
  return steps;
}

/** The VUs of one step: those of the settings or, with VUS=auto, as many as its rate and its lane's time need. */
export function stepVUs(settings, lane, rps) {
  return settings.autoVUs ? neededVUs(rps, lanes[lane].holdSeconds(settings.taskMs / 1000)) : settings.vus;
}

/**
 * Only a lane that waits for the work is bounded by settings alone, null where they do not say how long that takes; for the
 * others nothing is expected to drop.
 */
function stepPrediction(settings, lane, rps) {
  if (!lanes[lane].waits) {
    return 0;
  }
  const seconds = lanes[lane].holdSeconds(settings.taskMs / 1000);
  return takesItsTime(settings.action) ? predictedDrop(stepVUs(settings, lane, rps), rps, seconds) : null;
}

/**
 * The plan as k6 scenarios: one for each step, and one more that reads its books where it has any. gracefulStop equals
 * the gap: if it reached into the next step, k6 would plan the VUs of both steps side by side.
 */
export function scenarios(steps, settings) {
  const all = {};
  for (const step of steps) {
    all[step.name] = {
      executor: 'constant-arrival-rate',
      exec: 'send',
      rate: step.rps,
      timeUnit: '1s',
      duration: `${step.seconds}s`,
      startTime: `${step.startsAt}s`,
      gracefulStop: `${settings.gap}s`,
      preAllocatedVUs: settings.autoVUs ? step.vus : settings.vusPre,
      maxVUs: step.vus,
      tags: { lane: step.lane, rps: String(step.rps) },
    };
    if (step.books) {
      Object.assign(all, booksScenario(step, settings));
    }
  }
  return all;
}

/** The names under which k6 hands out what it measured for one step. */
export function stepMetrics(step) {
  const failures = {};
  for (const kind of failureClasses) {
    failures[kind] = `answers_failed{scenario:${step.name},class:${kind}}`;
  }
  return {
    iterations: `iterations{scenario:${step.name}}`,
    dropped: `dropped_iterations{scenario:${step.name}}`,
    sent: `requests_sent{scenario:${step.name}}`,
    failed: `answers_failed{scenario:${step.name}}`,
    accepted: `tasks_accepted{scenario:${step.name}}`,
    unknown: `tasks_unknown{scenario:${step.name}}`,
    latency: `http_req_duration{scenario:${step.name},expected_response:true}`,
    failures,
  };
}

/**
 * The thresholds. An empty one asserts nothing: it makes k6 keep that step's numbers apart. A sweep fails on any answer
 * that is neither expected nor a refusal. A breakpoint run instead ends at the step that drops or fails too much,
 * counted against all that the step was to send, so that a bad first second does not end it.
 */
export function thresholds(steps, settings) {
  const all = {};
  for (const step of steps) {
    const metrics = stepMetrics(step);
    const { iterations, sent, latency, accepted, unknown, failures } = metrics;
    const books = step.books ? [accepted, unknown, ...bookMetrics(step)] : [];
    for (const name of [iterations, sent, latency, ...Object.values(failures), ...books]) {
      all[name] = [];
    }
    const most = Math.floor(step.rps * step.seconds * breakShare);
    const limit = settings.breakpoint ? [{ threshold: `count<=${most}`, abortOnFail: true }] : [];
    all[metrics.dropped] = limit;
    all[metrics.failed] = limit;
  }
  if (!settings.breakpoint) {
    all.answers_unexpected = ['count==0'];
  }
  return all;
}
