// Writes reports of runs that never were, without load, for the tests that open them in a browser: `OUT=folder k6 run
// k6/test/pages.js`. Each has its report.html and summary.json in a folder of its name.

import { report } from '../lib/report.js';
import { answer, published, summaryOf } from './fixture.js';

export const options = { vus: 1, iterations: 1 };

export default function () {}

const machine = {
  COMMIT: 'v1.0-12-g0123abc', GO_VERSION: 'go1.26.0', HOST_CPUS: '2', HOST_CPU_MODEL: 'A processor at 2.4 GHz', HOST_MEMORY_BYTES: '8589934592',
  HOST_OS: 'Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64', RABBITMQ_VERSION: '3.10.8', GATEWAY_STRATEGY: 'pooled',
  WORKER_EXECUTOR: 'goroutine', WORKER_CONCURRENCY: '1000', WORKER_COUNT: '1',
};

/** A run as it should be. */
const sweep = summaryOf({ RUN: 'sweep' }, (step) => ({ ...published(step), books: kept(step) }), { extraEnv: machine });

/** A run whose worker is too small from 150 a second on. */
const overload = summaryOf({ RUN: 'overload', RPS: '50..400:50', LANES: 'async', DURATION: '10' }, (step) => ({
  sent: step.rps * step.seconds, times: [2.4, 2.1, 3.9, 9.2, 31], books: waited(step, 100),
}), { extraEnv: { ...machine, WORKER_CONCURRENCY: '100' } });

/** A run of three lanes with everything that can be wrong, after one in which it was not. */
const worse = summaryOf({ RUN: 'worse', LANES: 'sync,async,wait', RPS: '50,100,200,400' }, (step) => ({
  ...published(step), times: published(step).times.map((time) => time * 1.3), failures: { refused: step.rps, none: 2, '5xx': 1 },
  books: { accepted: step.rps * 9, unknown: 3, end: answer(step.rps * 9 - 2, { dead: 1, duplicates: 4 }) },
}), { extraEnv: machine, against: { baseline: sweep, tolerance: { tolerance_share: 0.1, tolerance_ms: 0.5, tolerance_points: 1 } } });

/** One step, of which nothing is known but that it was not answered, with names that want to be more than text. */
const silent = summaryOf({ RUN: 'silent', RPS: '50', GATEWAY_URL: 'http://h/<script>alert(1)</script>' }, () => ({ sent: 50, answered: 0 }), {
  extraEnv: { COMMIT: '</script><script>document.title="broken"</script>', HOST_OS: '<img src="http://127.0.0.1:1/x.png">' },
});

/** As many rates as a report is likely to have. */
const many = summaryOf({ RUN: 'many', RPS: '10..400:10' }, published, { extraEnv: machine });

/** A run that was stopped before it sent anything. */
const stopped = summaryOf({ RUN: 'stopped' }, () => null, { ran: 0, extraEnv: machine });

export function handleSummary() {
  const files = {};
  for (const summary of [sweep, overload, worse, silent, many, stopped]) {
    const folder = `${__ENV.OUT}/${summary.run}`;
    files[`${folder}/report.html`] = report(summary);
    files[`${folder}/summary.json`] = JSON.stringify(summary);
  }
  return files;
}

/** The books of a worker that keeps up. */
function kept(step) {
  const wait = { count: 1, mean: 2.1, p50: 1.8, p95: 3.4, p99: 8.8, max: 31.2 };
  return { step: answer(step.rps * step.seconds + 1, { queue_wait_ms: wait }) };
}

/** The books of one that does so many tasks of a second at once. */
function waited({ rps, seconds }, servers) {
  const last = Math.max(0, (rps / servers - 1) * seconds * 1000 - 500) + 3;
  const span = (more) => ({ count: 1, mean: last / 2 + more, p50: last / 2 + more, p95: last * 0.95 + more, p99: last * 0.99 + more, max: last + more });
  return { step: answer(rps * seconds, { queue_wait_ms: span(0), end_to_end_ms: span(1001), service_time_ms: span(0), drain_ms: last + 1001 }) };
}
