import { presets, readSettings, runProblem } from '../../lib/settings.js';
import { contains, equal, test } from '../harness.js';
import { settingsOf } from '../fixture.js';

const rejected = [
  [{ PRESET: 'slow' }, 'PRESET=slow: use one of published, quick, unconstrained, breakpoint'],
  [{ RPS: '50;100' }, 'RPS=50;100: use rates such as'],
  [{ RPS: '0' }, 'RPS=0: use rates'],
  [{ RPS: '20001' }, 'RPS=20001: use rates'],
  [{ RPS: '100..50:10' }, 'RPS=100..50:10: use rates'],
  [{ RPS: '50..100:0' }, 'RPS=50..100:0: use rates'],
  [{ RPS: '50,100,50' }, 'RPS=50,100,50: the rate 50 is named twice'],
  [{ RPS: '1..300:1', LANES: 'async' }, '300 steps; use at most 200'],
  [{ DURATION: '0' }, 'DURATION=0: use a whole number from 1 to 3600'],
  [{ DURATION: '30s' }, 'DURATION=30s: use a whole number'],
  [{ GAP: '1' }, 'GAP=1: use at least 2 seconds'],
  [{ GAP: 'x' }, 'GAP=x: use a whole number from 1 to 600'],
  [{ VUS: '0' }, 'VUS=0: use a whole number from 1 to 20000, or auto'],
  [{ VUS: 'many' }, 'VUS=many: use a whole number'],
  [{ VUS: '20', VUS_PRE: '30' }, 'VUS_PRE=30: use a whole number from 1 to 20'],
  [{ VUS: 'auto', VUS_PRE: '30' }, 'VUS_PRE=30: leave it unset with VUS=auto'],
  [{ VUS: 'auto', RPS: '20000', TASK_MS: '60000' }, 'VUS=auto: 20000 requests a second of 60000 ms need'],
  [{ LANES: 'sync,fast' }, 'LANES=sync,fast: use a comma-separated list of sync, async'],
  [{ LANES: 'sync,sync' }, 'LANES=sync,sync: use'],
  [{ LANES: 'wait', TASK_MS: '30000' }, 'TASK_MS=30000: use less than 30000 with the lane wait'],
  [{ BOOKS: 'yes' }, 'BOOKS=yes: use one of on, off'],
  [{ BOOKS_TIMEOUT: '0' }, 'BOOKS_TIMEOUT=0: use a whole number from 1 to 3600'],
  [{ ACTION: 'sleep' }, 'ACTION=sleep: use one of delay, block, cpu, http'],
  [{ TASK_MS: '60001' }, 'TASK_MS=60001: use a whole number from 0 to 60000'],
  [{ TASK_MS: '-1' }, 'TASK_MS=-1: use a whole number from 0 to 60000'],
  [{ PAYLOAD_BYTES: '256001' }, 'PAYLOAD_BYTES=256001: use a whole number from 0 to 256000'],
  [{ GATEWAY_URL: 'localhost:8080' }, 'GATEWAY_URL=localhost:8080: use an address such as http://127.0.0.1:8080'],
  [{ GATEWAY_URL: 'http://a?b' }, 'GATEWAY_URL=http://a?b: use an address'],
  [{ RUN: 'a b' }, 'RUN=a b: use 1 to 64 characters'],
  [{ RUN: '..' }, 'RUN=..: use 1 to 64 characters'],
  [{ RUN: 'x'.repeat(55) }, 'use at most 54'],
  [{ PRESET: 'breakpoint', LANES: 'sync,async' }, 'LANES=sync,async: use one lane with PRESET=breakpoint'],
];

export function settingsTests() {
  for (const [env, expected] of rejected) {
    test(`refuses ${JSON.stringify(env).slice(0, 60)}`, () => {
      const { problems } = readSettings(env);
      equal(problems.length, 1);
      contains(problems[0], expected);
    });
  }

  test('names every bad setting at once', () => {
    equal(readSettings({ RPS: 'x', VUS: 'x', DURATION: 'x' }).problems.length, 3);
  });

  test('defaults are the published experiment', () => {
    const settings = settingsOf({});
    equal(settings.rates, [50, 100, 150, 200, 250, 300, 350, 400]);
    equal([settings.duration, settings.vusPre, settings.vus, settings.lanes], [30, 50, 100, ['sync', 'async']]);
    equal([settings.action, settings.taskMs, settings.gatewayUrl, settings.run], ['delay', 1000, 'http://127.0.0.1:8080', '']);
  });

  test('every preset is valid', () => Object.keys(presets).forEach((PRESET) => settingsOf({ PRESET })));

  test('the quick preset takes two minutes', () => {
    const { rates, lanes, duration, gap } = settingsOf({ PRESET: 'quick' });
    equal(rates.length * lanes.length * (duration + gap), 120);
  });

  test('a setting overrides its preset, an empty one does not', () => {
    const settings = settingsOf({ PRESET: 'quick', DURATION: '5', RPS: '', VUS: ' 20 ' });
    equal([settings.duration, settings.rates, settings.vus, settings.vusPre], [5, [50, 100, 200, 400], 20, 20]);
  });

  test('rates may be lists, ranges or both, and come out rising', () => {
    equal(settingsOf({ RPS: '300, 50..100:25' }).rates, [50, 75, 100, 300]);
    equal(settingsOf({ RPS: '50..120:50' }).rates, [50, 100]);
  });

  test('the gap grows with the task of a lane that waits', () => {
    equal(settingsOf({ TASK_MS: '4500' }).gap, 6);
    equal(settingsOf({ TASK_MS: '4500', LANES: 'async' }).gap, 3);
    equal(settingsOf({ TASK_MS: '4500', LANES: 'async', GAP: '1' }).gap, 1);
  });

  test('books are kept for the lanes that go through the queue, unless they are off', () => {
    equal([settingsOf({}).books, settingsOf({}).booksTimeout], [true, 60]);
    equal([settingsOf({ LANES: 'sync' }).books, settingsOf({ LANES: 'wait' }).books, settingsOf({ BOOKS: 'off' }).books], [false, true, false]);
  });

  test('a trailing slash of the address is dropped', () => {
    equal(settingsOf({ GATEWAY_URL: 'https://example.org:81/base/' }).gatewayUrl, 'https://example.org:81/base');
  });

  test('the longest id leaves room for the longest step', () => {
    equal(runProblem('x'.repeat(54), settingsOf({})), '');
    equal(settingsOf({ RUN: 'A-z_0.9' }).run, 'A-z_0.9');
  });
}
