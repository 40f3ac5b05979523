import { lanes } from '../../lib/lanes.js';
import { neededVUs, predictedDrop } from '../../lib/little.js';
import { planSteps, scenarios, thresholds } from '../../lib/steps.js';
import { booked, judge, stepRequest } from '../../lib/tasks.js';
import { close, equal, ok, test } from '../harness.js';
import { settingsOf } from '../fixture.js';

export function stepsTests() {
  test('sync then async at each rate, a gap after each', () => {
    const steps = planSteps(settingsOf({ RPS: '50,100', DURATION: '10', GAP: '2' }));
    equal(steps.map((step) => step.name), ['sync_050', 'async_050', 'sync_100', 'async_100']);
    equal(steps.map((step) => step.startsAt), [0, 12, 24, 36]);
  });

  test('names are padded to the highest rate and sort as numbers', () => {
    const names = planSteps(settingsOf({ RPS: '5,50,1000', LANES: 'async' })).map((step) => step.name);
    equal(names, ['async_0005', 'async_0050', 'async_1000']);
    equal([...names].sort(), names);
  });

  test('steps do not reach into each other, so that VUs are not planned twice', () => {
    const settings = settingsOf({});
    const loads = Object.values(scenarios(planSteps(settings), settings)).filter(({ exec }) => exec === 'send');
    const plan = loads.map((scenario) => ({
      from: parseInt(scenario.startTime, 10),
      to: parseInt(scenario.startTime, 10) + parseInt(scenario.duration, 10) + parseInt(scenario.gracefulStop, 10),
    }));
    ok(plan.slice(1).every((step, i) => step.from >= plan[i].to), 'a step begins before the one before it has ended');
  });

  test('a published step is a published step', () => {
    const settings = settingsOf({});
    const scenario = scenarios(planSteps(settings), settings).sync_400;
    equal(scenario, {
      executor: 'constant-arrival-rate', exec: 'send', rate: 400, timeUnit: '1s', duration: '30s', startTime: '462s',
      gracefulStop: '3s', preAllocatedVUs: 50, maxVUs: 100, tags: { lane: 'sync', rps: '400' },
    });
  });

  test('automatic VUs cover rate times time with a margin, all of them from the start', () => {
    const settings = settingsOf({ PRESET: 'unconstrained' });
    const plan = scenarios(planSteps(settings), settings);
    equal([plan.sync_400.maxVUs, plan.sync_400.preAllocatedVUs], [550, 550]);
    equal(plan.async_400.maxVUs, 100);
    ok(planSteps(settings).every((step) => step.predictedDrop === 0), 'a drop is predicted although VUs suffice');
  });

  test('the predicted drop is that of Little’s law', () => {
    const drops = planSteps(settingsOf({})).filter((step) => step.lane === 'sync').map((step) => step.predictedDrop);
    const expected = [0, 0, 1 / 3, 0.5, 0.6, 2 / 3, 5 / 7, 0.75];
    drops.forEach((drop, i) => close(drop, expected[i], 1e-9));
    equal([predictedDrop(100, 400, 0), predictedDrop(20, 40, 1), neededVUs(400, 1)], [0, 0.5, 550]);
  });

  test('a sweep only fails on answers that nobody expects', () => {
    const settings = settingsOf({});
    const all = thresholds(planSteps(settings), settings);
    const asserting = Object.keys(all).filter((name) => all[name].length > 0);
    equal([asserting, all.answers_unexpected], [['answers_unexpected'], ['count==0']]);
    ok('dropped_iterations{scenario:sync_050}' in all, 'the drops of a step are not kept apart');
  });

  test('a breakpoint run ends itself at one per cent', () => {
    const settings = settingsOf({ PRESET: 'breakpoint', RPS: '100,200', DURATION: '10' });
    const all = thresholds(planSteps(settings), settings);
    const limit = [{ threshold: 'count<=20', abortOnFail: true }];
    equal(all['dropped_iterations{scenario:async_200}'], limit);
    equal(all['answers_failed{scenario:async_200}'], limit);
    ok(!('answers_unexpected' in all), 'errors are how a breakpoint run ends');
  });

  test('a request is the task, booked under its run and step', () => {
    const settings = settingsOf({ TASK_MS: '20', PAYLOAD_BYTES: '3', GATEWAY_URL: 'http://g' });
    const request = stepRequest('r1', planSteps(settings)[1], settings);
    equal(request.url, 'http://g/v1/async');
    equal(JSON.parse(request.body), { action: 'delay', duration_ms: 20, run: 'r1.async_050', payload: 'xxx' });
    equal(request.headers, { 'Content-Type': 'application/json' });
  });

  test('answers are judged by status and body', () => {
    const done = '{"status":"completed"}';
    const cases = [
      ['sync', 200, done, 'ok'], ['sync', 200, '{"status":"failed"}', '2xx'], ['sync', 200, 'null', '2xx'],
      ['sync', 200, '', '2xx'], ['sync', 202, done, '2xx'], ['async', 202, '{"id":"a"}', 'ok'],
      ['async', 202, '{"id":""}', '2xx'], ['async', 202, '{}', '2xx'], ['async', 200, '{"id":"a"}', '2xx'],
      ['sync', 429, '', 'refused'], ['async', 503, '', 'refused'], ['sync', 302, '', '3xx'], ['sync', 400, '', '4xx'],
      ['sync', 500, '', '5xx'], ['sync', 0, '', 'none'], ['wait', 200, done, 'ok'], ['wait', 200, '{"status":"dead"}', '2xx'],
      ['wait', 202, '{"id":"a"}', 'late'], ['wait', 429, '', 'refused'],
    ];
    cases.forEach(([lane, status, body, verdict]) => equal([lane, status, judge(lane, status, body)], [lane, status, verdict]));
  });

  test('an answer is booked as what it promises', () => {
    const problem = (code) => JSON.stringify({ type: `https://h/problems/${code}` });
    const cases = [
      [200, '', 'accepted'], [202, '', 'accepted'], [429, '', 'refused'], [400, '', 'refused'], [503, problem('broker-blocked'), 'refused'],
      [503, problem('outcome-unknown'), 'unknown'], [503, '', 'unknown'], [503, '<html>', 'unknown'], [500, '', 'unknown'],
      [504, '', 'unknown'], [0, '', 'unknown'],
    ];
    cases.forEach(([status, body, meaning]) => equal([status, body, booked(status, body)], [status, body, meaning]));
  });

  test('the lane wait asks for the result and holds its VUs like sync', () => {
    const settings = settingsOf({ LANES: 'sync,wait', RPS: '400' });
    const [sync, wait] = planSteps(settings);
    equal([wait.predictedDrop, settings.gap], [sync.predictedDrop, 3]);
    equal(stepRequest('r', wait, settings).headers, { 'Content-Type': 'application/json', Prefer: 'wait=30' });
  });

  test('every lane has what the rest reads from it', () => {
    const keys = ['path', 'headers', 'statuses', 'late', 'accepts', 'waits', 'queued', 'holdSeconds', 'verb', 'colour'];
    Object.keys(lanes).forEach((name) => equal(Object.keys(lanes[name]).sort(), [...keys].sort()));
  });
}
