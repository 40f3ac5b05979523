// What theory expects of the queue in each step, from the size of the workers, the task's time and the rate.

import { takesOnlyItsTime } from './actions.js';
import { backlog, utilisation, waitAt, waits } from './queueing.js';
import { lanes } from './lanes.js';

/** The workers as the environment tells: how many tasks they run at once in all. Null where that is not known. */
export function workersOf(env) {
  const concurrency = Number(env.WORKER_CONCURRENCY);
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    return null;
  }
  return { executor: env.WORKER_EXECUTOR || null, concurrency, count: Number(env.WORKER_COUNT) || 1 };
}

/**
 * The prediction for a planned step, or null where the workers are not known or the task's time does not follow from the
 * settings.
 *
 * Up to the workers' capacity it is what lasts: the waits for tasks that arrive by chance, of which `queue_wait_ms` is for
 * tasks of the same length (M/D/c) and `queue_wait_varied_ms` for lengths that vary (M/M/c, the more cautious figure of
 * `worker size`). Beyond it nothing lasts, and it is what the step's backlog grows to (`steady` false).
 */
export function predict(step, settings, workers) {
  if (workers === null || settings.taskMs === 0 || !lanes[step.lane].queued || !takesOnlyItsTime(settings.action)) {
    return null;
  }
  const queue = {
    rate: step.rps * (1 - step.predictedDrop),
    taskSeconds: settings.taskMs / 1000,
    servers: workers.concurrency,
  };
  const same = waits({ ...queue, constant: true });
  const varied = waits(queue);
  const common = { servers: queue.servers, utilisation: round(utilisation(queue)), steady: same !== null };
  if (same === null) {
    const { mean, last, drain } = backlog(queue, step.seconds);
    const wait = { avg: ms(mean), p50: ms(mean), p95: ms(last * 0.95) };
    return { ...common, queue_wait_ms: wait, queue_wait_varied_ms: null, end_to_end_ms: later(wait, settings.taskMs), drain_ms: ms(drain) };
  }
  const wait = spread(same);
  return {
    ...common,
    queue_wait_ms: wait,
    queue_wait_varied_ms: spread(varied),
    end_to_end_ms: later(wait, settings.taskMs),
    drain_ms: settings.taskMs,
  };
}

function spread(line) {
  return { avg: ms(line.mean), p50: ms(waitAt(line, 50)), p95: ms(waitAt(line, 95)) };
}

function later({ avg, p50, p95 }, by) {
  return { avg: round(avg + by), p50: round(p50 + by), p95: round(p95 + by) };
}

function ms(seconds) {
  return round(seconds * 1000);
}

/** Rounds to a thousandth. */
function round(value) {
  return Math.round(value * 1000) / 1000;
}
