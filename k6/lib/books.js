// The books: what became of the tasks that a step had accepted, as GET /v1/runs tells it, held against what k6 counted.
//
// They are read twice. A scenario of its own reads those of its step from the step's end on, until they balance. At the
// end of the run all are read once more: for the step at which a run was ended early, and for work that took longer.

import { stepRun } from './tasks.js';

/** The two readings of a step's books, as the tag `reading` names them. */
export const readings = { step: 'step', end: 'end' };

/** The prefix of the scenarios that read books. What follows is the name of the step. */
const prefix = 'books_';

const counts = ['settled', 'completed', 'dead', 'discarded', 'duplicates'];
const spans = ['end_to_end_ms', 'queue_wait_ms', 'service_time_ms'];
const statistics = { avg: 'mean', p50: 'p50', p95: 'p95', p99: 'p99', max: 'max' };

// What a reader adds to the gateway's figures: that there is a reading, how many seconds after the step's end the books
// were settled (0 while they are not), and when they were read last.
const own = ['read', 'settled_after', 'read_after'];

const times = spans.flatMap((span) => Object.keys(statistics).map((name) => `${span}_${name}`));
const figures = [...counts, ...times, 'drain_ms', ...own];

/** The address of a step's books. */
export function booksURL(run, step, settings) {
  return `${settings.gatewayUrl}/v1/runs/${stepRun(run, step)}`;
}

/** The scenario that reads a step's books: one VU, from the end of the step on, for no longer than the books may take. */
export function booksScenario(step, settings) {
  return {
    [prefix + step.name]: {
      executor: 'per-vu-iterations',
      exec: 'readStepBooks',
      vus: 1,
      iterations: 1,
      startTime: `${step.startsAt + step.seconds}s`,
      maxDuration: `${settings.booksTimeout + 10}s`, // The reader ends by itself before; a slow answer may come between.
      gracefulStop: '0s',
    },
  };
}

/** The name of the step whose books a scenario reads. */
export function bookedStep(scenario) {
  return scenario.slice(prefix.length);
}

/** The names under which k6 hands out what was read of one step. */
export function bookMetrics(step) {
  return Object.values(readings).flatMap((reading) => figures.map((figure) => metricName(step, reading, figure)));
}

/** The name of one figure of one reading. */
export function metricName(step, reading, figure) {
  return `books{step:${step.name},reading:${reading},figure:${figure}}`;
}

/** The figures of an answer of GET /v1/runs, by name. What is null there has no figure. */
export function figuresOf(answer) {
  const found = { read: 1, drain_ms: answer.drain_ms };
  for (const name of counts) {
    found[name] = answer[name];
  }
  for (const span of spans) {
    for (const name of Object.keys(statistics)) {
      found[`${span}_${name}`] = (answer[span] || {})[statistics[name]];
    }
  }
  return Object.entries(found).filter(([, value]) => Number.isFinite(value));
}

/**
 * The books of a step, or null where it has none. `counted` says what k6 counted, `disturbs` whether another step
 * followed: work that is left over then is work that it had to share the worker with.
 */
export function stepBooks(metrics, step, { accepted, unknown, disturbs, gap }) {
  if (!step.books) {
    return null;
  }
  const value = (reading, figure) => {
    const metric = metrics[metricName(step, reading, figure)];
    return metric === undefined ? 0 : metric.values.value;
  };
  const reading = decisive(value);
  if (reading === null) {
    return { state: 'unread', accepted, unknown, ...nothing(), late: false };
  }
  const known = (figure) => (value(reading, 'completed') === 0 ? null : round(value(reading, figure)));
  const found = {};
  for (const name of counts) {
    found[name] = value(reading, name);
  }
  const missing = Math.max(0, accepted - found.settled);
  const surplus = Math.max(0, found.settled - accepted);
  const settledAfter = value(readings.step, 'settled_after');
  const hidden = Math.max(0, Math.min(unknown, found.settled) - surplus);
  const books = { state: stateOf(missing, surplus, unknown), accepted, unknown, ...found, missing, surplus, hidden };
  for (const span of spans) {
    books[span] = {};
    for (const name of Object.keys(statistics)) {
      books[span][name] = known(`${span}_${name}`);
    }
  }
  books.drain_ms = known('drain_ms');
  books.settled_after_seconds = settledAfter === 0 ? null : round(settledAfter);
  books.read_after_seconds = round(value(reading, 'read_after'));
  books.late = disturbs && (settledAfter === 0 || settledAfter > gap);
  return books;
}

/** The steps of a summary that have books. */
export function bookedSteps(summary) {
  return summary.steps.filter((step) => step.books !== null);
}

/** The reading that counts: the one with more outcomes; where both have as many, the later one. Null if there is none. */
function decisive(value) {
  const taken = Object.values(readings).filter((reading) => value(reading, 'read') === 1);
  return taken.reduce((best, reading) => (
    best === null || value(reading, 'settled') >= value(best, 'settled') ? reading : best), null);
}

/**
 * How the totals compare. Each settled task of unknown outcome can stand in for an accepted one that is lost: `hidden`
 * is how many at most. More outcomes than acceptances are right as long as requests of unknown outcome can have brought them.
 */
function stateOf(missing, surplus, unknown) {
  if (missing > 0) {
    return 'missing';
  }
  return surplus > unknown ? 'surplus' : 'balanced';
}

/** The figures of books that could not be read. */
function nothing() {
  const all = {};
  for (const name of [...counts, 'missing', 'surplus', 'hidden']) {
    all[name] = null;
  }
  for (const span of spans) {
    all[span] = Object.fromEntries(Object.keys(statistics).map((name) => [name, null]));
  }
  return { ...all, drain_ms: null, settled_after_seconds: null, read_after_seconds: null };
}

/** Rounds to a thousandth. */
function round(value) {
  return Math.round(value * 1000) / 1000;
}
