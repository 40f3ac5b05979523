import { stepsCSV } from '../../lib/csv.js';
import * as format from '../../lib/format.js';
import { openingLine, stepLine, terminalReport } from '../../lib/terminal.js';
import { close, contains, equal, lacks, ok, test } from '../harness.js';
import { planSteps } from '../../lib/steps.js';
import { published, settingsOf, summaryOf } from '../fixture.js';

const twoLanes = { RPS: '100', DURATION: '10' };
const machine = {
  COMMIT: 'abc', HOST_CPUS: '2', HOST_CPU_MODEL: 'Fast', HOST_MEMORY_BYTES: '1024', GATEWAY_STRATEGY: 'shared', PUBLISH_STRATEGY: 'pooled',
  WORKER_CONCURRENCY: '30', WORKER_COUNT: '3', WORKER_EXECUTOR: 'keyed',
};
const twoSteps = { RPS: '100', DURATION: '10', GAP: '2', VUS: '20' };
const breakRun = { PRESET: 'breakpoint', RPS: '100..500:100', DURATION: '10', GAP: '2' };

export function summaryTests() {
  test('throughput and drop are those of the step, not of the run', () => {
    const summary = summaryOf(twoSteps, (step) => (
      step.lane === 'sync' ? { sent: 200, dropped: 801, times: [1000, 1000, 1001, 1002, 1003] } : { sent: 1001, times: [2, 2, 3, 4, 5] }));
    const [sync, async] = summary.steps;
    equal([sync.throughput_rps, async.throughput_rps], [20, 100.1]);
    close(sync.drop_share, 0.8002, 0.0001);
    equal([sync.predicted_drop_share, async.drop_share], [0.8, 0]);
    equal(sync.latency_ms, { avg: 1000, p50: 1000, p95: 1001, p99: 1002, max: 1003 });
    equal([summary.passed, summary.complete, summary.findings, summary.schema], [true, true, [], 1]);
  });

  test('the headline of the published sweep', () => {
    equal(summaryOf({}, published).headline, 'At 400 requests a second, async answered 416 times as fast as sync and accepted 4.0 times as ' +
      'many requests. Sync finished 99.9/s in 1.00 s on average and left 75.0 % of the load unsent; async accepted 400/s in 2.41 ms and dropped nothing.');
  });

  test('the headline is in proportion, whatever the proportion is', () => {
    const title = (sync, async) => summaryOf(twoLanes, (step) => {
      const { time, ...counts } = step.lane === 'sync' ? sync : async;
      return { ...counts, times: [time, time, time, time, time] };
    }).headline;
    contains(title({ sent: 1000, time: 100 }, { sent: 1000, time: 104 }), 'async answered about as fast as sync and accepted about as many requests. Sync finished');
    contains(title({ sent: 1000, time: 10 }, { sent: 500, time: 25 }), 'async took 2.5 times as long to answer as sync and accepted 50.0 % as many requests.');
    contains(title({ sent: 500, answered: 0, time: 1 }, { sent: 500, time: 25 }), 'a second, sync finished 0/s and failed 100 % of the requests; async');
  });

  test('refusals are errors but do not fail the run', () => {
    const summary = summaryOf(twoSteps, () => ({ sent: 1000, failures: { refused: 250 }, times: [1, 1, 1, 1, 1] }));
    const [step] = summary.steps;
    equal([step.ok, step.goodput_rps, step.throughput_rps, step.error_share], [750, 75, 100, 0.25]);
    equal([summary.passed, summary.findings[0].level], [true, 'note']);
    contains(summary.findings[0].text, '500 requests refused');
    contains(summary.headline, 'failed 25.0 % of the requests');
  });

  test('answers that nobody expects fail the run and are named by class', () => {
    const summary = summaryOf(twoSteps, () => ({ sent: 1000, failures: { '5xx': 2, none: 1 }, times: [1, 1, 1, 1, 1] }));
    equal(summary.passed, false);
    equal(summary.findings, [{
      level: 'failure', text: '6 requests got neither the expected answer nor a refusal: 4 × 5xx, 2 × no answer.',
    }]);
  });

  test('requests without an answer at the end of the gap count as errors', () => {
    const summary = summaryOf(twoSteps, () => ({ sent: 100, answered: 90, times: [1, 1, 1, 1, 1] }));
    equal([summary.steps[0].unanswered, summary.steps[0].error_share, summary.passed], [10, 0.1, true]);
    contains(summary.findings[0].text, '20 requests had no answer');
  });

  test('a lane that never answers fails the run and has no times', () => {
    const summary = summaryOf(twoSteps, (step) => ({ sent: 20, answered: step.lane === 'sync' ? 0 : 20, times: step.lane === 'sync' ? null : [1, 1, 1, 1, 1] }));
    equal([summary.passed, summary.steps[0].latency_ms.avg], [false, null]);
    equal(summary.findings[0], { level: 'failure', text: 'Not one good answer in sync_100.' });
  });

  test('a stopped run shows what it had, over the time it had', () => {
    const summary = summaryOf(twoSteps, (step) => (step.lane === 'sync' ? { sent: 80, answered: 60, times: [1, 1, 1, 1, 1] } : null), { ran: 4 });
    const [step, none] = summary.steps;
    equal([none, step.complete, step.seconds, step.throughput_rps, step.error_share], [undefined, false, 4, 15, 0]);
    equal([summary.complete, summary.headline], [false, 'The run was stopped before its first step was complete.']);
    contains(summary.findings[0].text, '1 step of 2 began');
  });

  test('a step that was cut short makes no headline', () => {
    const env = { RPS: '100,200', DURATION: '10', GAP: '2', LANES: 'async' };
    const summary = summaryOf(env, (step) => ({ sent: step.rps, times: [1, 1, 1, 1, 1] }), { ran: 15 });
    equal(summary.steps.map((step) => step.complete), [true, false]);
    contains(summary.headline, 'At 100 requests a second');
  });

  test('the break point is the last rate held before the first that was not', () => {
    const summary = summaryOf(breakRun, (step) => {
      if (step.rps > 400) {
        return null;
      }
      const failures = step.rps === 400 ? { '5xx': 60 } : {};
      return { sent: step.rps * 10, dropped: step.rps === 200 ? 15 : 0, failures, times: [1, 1, 1, 1, 1] };
    }, { ran: 46 });
    equal(summary.breakpoint, { limit_share: 0.01, last_good_rps: 300, broke_at_rps: 400 });
    equal([summary.passed, summary.findings], [true, []]);
    equal(summary.headline, 'The async lane held 300 requests a second and broke at 400: 1.50 % failed.');
  });

  test('a lane that holds every rate has no break point', () => {
    const summary = summaryOf(breakRun, (step) => ({ sent: step.rps * 10, times: [1, 1, 1, 1, 1] }));
    equal([summary.breakpoint.last_good_rps, summary.breakpoint.broke_at_rps, summary.passed], [500, null, true]);
    contains(summary.headline, 'held every rate up to 500 requests a second; its break point lies above.');
  });

  test('a breakpoint run that holds nothing fails', () => {
    const summary = summaryOf(breakRun, (step) => (step.rps === 100 ? { sent: 100, failures: { '5xx': 100 } } : null), { ran: 2 });
    equal([summary.breakpoint.last_good_rps, summary.breakpoint.broke_at_rps, summary.passed], [null, 100, false]);
    contains(summary.headline, 'broke at the first rate, 100 requests a second: 100 % failed.');
  });

  test('the environment is what the runner passes on', () => {
    const { environment } = summaryOf(twoSteps, () => ({ sent: 1, times: [1, 1, 1, 1, 1] }), { extraEnv: machine });
    equal(environment, {
      k6: '1.8.1', commit: 'abc', host_cpus: 2, cpu_model: 'Fast', memory_bytes: 1024, os: null, go: null, rabbitmq: null, publish_strategy: 'shared',
      workers: { executor: 'keyed', concurrency: 30, count: 3 },
    });
  });

  test('steps.csv has a line a step and a field a column', () => {
    const lines = stepsCSV(summaryOf({}, published)).split('\r\n');
    equal([lines.length, lines[17]], [18, '']);
    ok(lines.slice(0, 17).every((line) => line.split(',').length === 65), 'a line has another number of fields');
    contains(lines[2], ',balanced,1501,0,1501,1501,0,0,0,0,0,0,1001.5,1.5,2.5,false,1010,1005,1020,1030,1040.123,');
    ok(lines[2].endsWith(',,,,,'), 'something is predicted of workers that are not known');
    const known = stepsCSV(summaryOf({}, published, { extraEnv: { WORKER_CONCURRENCY: '1000' } })).split('\r\n');
    ok(known[0].endsWith(',predicted_end_to_end_p95_ms,predicted_drain_ms') && known[2].endsWith(',0.05,0,1000,1000,1000'), known[2]);
    contains(lines[1], 'sync_050,sync,50,test.sync_050,0,30,true,100,1501,1501,1501,0,0,50.033,50.033,0,0,0,1002.3');
  });

  test('the terminal table is aligned and shows errors only where there are any', () => {
    const lines = terminalReport(summaryOf({}, published)).split('\n');
    [lines.slice(3, 21), lines.slice(23, 32)].forEach((table) => equal(new Set(table.map((line) => line.length)).size, 1));
    const table = lines.slice(3, 21);
    lacks(table[0], 'errors');
    contains(terminalReport(summaryOf(twoSteps, () => ({ sent: 9, failures: { refused: 1 }, times: [1, 1, 1, 1, 1] }))), 'errors');
  });

  test('a run says which step begins and how long it still takes', () => {
    const settings = settingsOf({});
    const steps = planSteps(settings);
    equal(openingLine('r', steps, settings), 'Run r against http://127.0.0.1:8080: 16 steps of 30 s');
    equal(stepLine(steps, steps[0], settings), '[ 1/16] sync at 50/s, 8 min 48 s left');
    equal(stepLine(steps, steps[15], settings), '[16/16] async at 400/s, 33 s left');
  });

  test('numbers read well', () => {
    equal([format.count(12001), format.count(999), format.count(1234567), format.count(null)], ['12,001', '999', '1,234,567', '–']);
    equal([0.494, 2.406, 64.26, 250.4, 999.6, 1000, 61000].map(format.time), ['0.49 ms', '2.41 ms', '64.3 ms', '250 ms', '1.00 s', '1.00 s', '61.0 s']);
    equal([50.033, 99.7, 1250.4, 0].map(format.rate), ['50/s', '99.7/s', '1,250/s', '0/s']);
    equal([0, 0.00001, 0.0297, 0.749938, 1].map(format.share), ['0 %', '< 0.01 %', '2.97 %', '75.0 %', '100 %']);
    equal([9, 60, 528].map(format.span), ['9 s', '1 min', '8 min 48 s']);
  });
}
