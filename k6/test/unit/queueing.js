import { backlog, waitAt, waits } from '../../lib/queueing.js';
import { predict, workersOf } from '../../lib/prediction.js';
import { planSteps } from '../../lib/steps.js';
import { close, equal, ok, test } from '../harness.js';
import { settingsOf } from '../fixture.js';

const vectors = JSON.parse(open(import.meta.resolve('../queueing.json')));

/** Fails unless a figure is that of a vector, to nine digits. */
function same(actual, expected) {
  close(actual, expected, Math.max(1e-12, Math.abs(expected) * 1e-9));
}

export function queueingTests() {
  test('waits are those that worker size predicts', () => {
    ok(vectors.length > 10, 'there are hardly any vectors');
    vectors.forEach((vector) => {
      const line = waits({ rate: vector.rate, taskSeconds: vector.task_seconds, servers: vector.servers });
      equal(line === null, vector.mean_wait_seconds === null);
      if (line !== null) {
        same(line.mean, vector.mean_wait_seconds);
        same(waitAt(line, vector.percentile), vector.wait_seconds_at_percentile);
      }
    });
  });

  test('constant tasks wait half as long, or a little more', () => {
    const one = { rate: 0.9, taskSeconds: 1, servers: 1 };
    same(waits({ ...one, constant: true }).mean, waits(one).mean / 2);
    [[9, 10], [99, 100], [50, 100]].forEach(([rate, servers]) => {
      const share = waits({ rate, servers, taskSeconds: 1, constant: true }).mean / waits({ rate, servers, taskSeconds: 1 }).mean;
      ok(share > 0.5 && share <= 0.62, `${share} of the wait at ${rate} a second on ${servers}`);
    });
  });

  test('a backlog is what a simulation of it comes to', () => {
    const queue = { rate: 20, taskSeconds: 0.5, servers: 4 };
    const { mean, last, drain } = backlog(queue, 30);
    const found = simulate(queue, 30);
    close(mean, found.mean, 0.05);
    close(last, found.last, 0.1);
    close(drain, found.drain, 0.1);
    equal(backlog({ rate: 8, taskSeconds: 0.5, servers: 4 }, 30), { mean: 0, last: 0, drain: 0.5 });
  });

  test('each step that has books is predicted from the workers', () => {
    const settings = settingsOf({ RPS: '80,200', LANES: 'sync,async,wait', DURATION: '10', VUS: '100' });
    const workers = workersOf({ WORKER_CONCURRENCY: '100', WORKER_EXECUTOR: 'goroutine' });
    equal(workers, { executor: 'goroutine', concurrency: 100, count: 1 });
    const of = Object.fromEntries(planSteps(settings).map((step) => [step.name, predict(step, settings, workers)]));
    equal([of.sync_080, of.sync_200], [null, null]);
    equal([of.async_080.steady, of.async_080.utilisation, of.async_080.drain_ms], [true, 0.8, 1000]);
    ok(of.async_080.queue_wait_ms.avg < of.async_080.queue_wait_varied_ms.avg, 'tasks of one length wait longer than others');
    close(of.async_080.end_to_end_ms.avg, 1000 + of.async_080.queue_wait_ms.avg, 0.001);
    equal(of.async_200, {
      servers: 100, utilisation: 2, steady: false, queue_wait_ms: { avg: 4750, p50: 4750, p95: 9025 }, queue_wait_varied_ms: null,
      end_to_end_ms: { avg: 5750, p50: 5750, p95: 10025 }, drain_ms: 10500,
    });
    equal([of.wait_200.utilisation, of.wait_200.queue_wait_ms.avg], [1, 0]); // its VUs let no more through than are done
  });

  test('nothing is predicted of unknown workers or of tasks whose time is not known', () => {
    const workers = workersOf({ WORKER_CONCURRENCY: '100' });
    [{}, { WORKER_CONCURRENCY: '' }, { WORKER_CONCURRENCY: '0' }, { WORKER_CONCURRENCY: 'many' }].forEach((env) => equal(workersOf(env), null));
    [[{}, null], [{ ACTION: 'cpu' }, workers], [{ ACTION: 'http' }, workers], [{ TASK_MS: '0' }, workers]].forEach(([env, known]) => {
      const settings = settingsOf(env);
      equal(planSteps(settings).map((step) => predict(step, settings, known)).filter((found) => found !== null), []);
    });
  });
}

/** Tasks at an even pace, each taken by the server that is free first. */
function simulate({ rate, taskSeconds, servers }, seconds) {
  const free = new Array(servers).fill(0);
  let [sum, last, end] = [0, 0, 0];
  const tasks = rate * seconds;
  for (let i = 0; i < tasks; i += 1) {
    const at = i / rate;
    const start = Math.max(at, free[i % servers]);
    [free[i % servers], last, end] = [start + taskSeconds, start - at, start + taskSeconds];
    sum += last;
  }
  return { mean: sum / tasks, last, drain: end - (tasks - 1) / rate };
}
