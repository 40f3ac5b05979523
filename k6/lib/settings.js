// The settings of a sweep: read from the environment, completed by a preset, checked before any load is sent.

import { laneNames, lanes, longestWait } from './lanes.js';
import { parseRates } from './rates.js';
import { stepVUs } from './steps.js';

/** Values that a preset gives to settings that are not set. They are written as a person would set them. */
export const presets = {
  // The experiment as it was published: few VUs, so that the sync lane saturates the load generator itself.
  published: { RPS: '50..400:50', DURATION: '30', GAP: '3', VUS_PRE: '50', VUS: '100', LANES: 'sync,async' },
  // The same picture in two minutes.
  quick: { RPS: '50,100,200,400', DURATION: '12', GAP: '3', VUS_PRE: '50', VUS: '100', LANES: 'sync,async' },
  // Enough VUs at every step, so that whatever saturates is the system and not the load generator.
  unconstrained: { RPS: '50..400:50', DURATION: '30', GAP: '3', VUS: 'auto', LANES: 'sync,async' },
  // One lane, raised step by step until more than 1 % is dropped or fails.
  breakpoint: { RPS: '200..4000:200', DURATION: '10', GAP: '2', VUS: 'auto', LANES: 'async', BOOKS_TIMEOUT: '300' },
};

const defaults = {
  ACTION: 'delay',
  TASK_MS: '1000',
  PAYLOAD_BYTES: '0',
  BOOKS: 'on',
  BOOKS_TIMEOUT: '60',
  GATEWAY_URL: 'http://127.0.0.1:8080',
  OUT: 'k6/out',
};

const actions = ['delay', 'block', 'cpu', 'http'];
const longestRun = 64;
const mostSteps = 200;
const mostVUs = 20000; // Beyond this a machine runs out of memory rather than of load.
const runPattern = /^[A-Za-z0-9._-]+$/;

/**
 * Reads every setting from env (k6's __ENV).
 *
 * Returns `{ settings, problems }`. Each problem is one sentence that names the setting, its value and what is
 * allowed; settings are usable only when there is none. `settings.run` is empty when RUN is not set, because k6
 * evaluates a script once for each VU and a default taken here from the clock would differ between them.
 */
export function readSettings(env) {
  const problems = [];
  const preset = choice(env, 'PRESET', 'published', Object.keys(presets), problems);
  const values = Object.assign({}, defaults, presets[preset]);
  const number = (name, min, max) => integer(env, name, values[name], min, max, problems);

  const settings = {
    preset,
    breakpoint: preset === 'breakpoint',
    lanes: readLanes(env, values, problems),
    rates: readRates(env, values, problems),
    duration: number('DURATION', 1, 3600),
    action: choice(env, 'ACTION', values.ACTION, actions, problems),
    taskMs: number('TASK_MS', 0, 60000),
    payloadBytes: number('PAYLOAD_BYTES', 0, 256000),
    gatewayUrl: readURL(env, values, problems),
    out: given(env, 'OUT', values.OUT),
    booksTimeout: number('BOOKS_TIMEOUT', 1, 3600),
  };
  const booksOn = choice(env, 'BOOKS', values.BOOKS, ['on', 'off'], problems) === 'on';
  settings.books = booksOn && settings.lanes.some((name) => lanes[name].queued);
  readVUs(env, values, settings, problems);
  readGap(env, values, settings, problems);
  settings.run = readRun(env, settings, problems);
  checkPlan(settings, problems);

  return { settings, problems };
}

/**
 * Says what is wrong with a run's id, or returns an empty string. The longest step name counts as well: each request
 * carries `<run>.<step>`, for which the gateway takes 64 characters.
 */
export function runProblem(run, settings) {
  if (!runPattern.test(run) || run === '.' || run === '..') {
    return `RUN=${run}: use 1 to ${longestRun} characters of A-Z a-z 0-9 . _ -`;
  }
  const step = longestStepName(settings);
  const room = longestRun - step.length - 1;
  if (run.length > room) {
    return `RUN=${run}: ${run.length} characters are too long; together with a step's name (.${step}) ` +
      `${longestRun} are allowed, so use at most ${room}`;
  }
  return '';
}

/** Returns a setting's value, or the fallback where it is not set or empty. */
function given(env, name, fallback) {
  const value = (env[name] === undefined ? '' : String(env[name])).trim();
  return value === '' ? fallback : value;
}

function choice(env, name, fallback, allowed, problems) {
  const value = given(env, name, fallback);
  if (allowed.includes(value)) {
    return value;
  }
  problems.push(`${name}=${value}: use one of ${allowed.join(', ')}`);
  return fallback;
}

function integer(env, name, fallback, min, max, problems) {
  const value = given(env, name, fallback);
  if (/^\d{1,9}$/.test(value) && Number(value) >= min && Number(value) <= max) {
    return Number(value);
  }
  problems.push(`${name}=${value}: use a whole number from ${min} to ${max}`);
  return Number(fallback);
}

function readLanes(env, values, problems) {
  const value = given(env, 'LANES', values.LANES);
  const chosen = value.split(',').map((name) => name.trim());
  const known = chosen.every((name) => laneNames.includes(name));
  if (known && new Set(chosen).size === chosen.length) {
    return chosen;
  }
  problems.push(`LANES=${value}: use a comma-separated list of ${laneNames.join(', ')}, each at most once`);
  return values.LANES.split(',');
}

function readRates(env, values, problems) {
  const value = given(env, 'RPS', values.RPS);
  const { rates, problem } = parseRates(value);
  if (problem === '') {
    return rates;
  }
  problems.push(`RPS=${value}: ${problem}`);
  return parseRates(values.RPS).rates;
}

function readURL(env, values, problems) {
  const value = given(env, 'GATEWAY_URL', values.GATEWAY_URL);
  if (!/^https?:\/\/[^\s/?#]+(\/[^\s?#]*)?$/.test(value)) {
    problems.push(`GATEWAY_URL=${value}: use an address such as ${values.GATEWAY_URL}, without a query`);
  }
  return value.replace(/\/+$/, '');
}

/** VUS is a number for every step, or `auto`: as many as a step's rate and the lane's time need (see steps.js). */
function readVUs(env, values, settings, problems) {
  const vus = given(env, 'VUS', values.VUS);
  settings.autoVUs = vus === 'auto';
  if (settings.autoVUs) {
    settings.vus = 0;
    settings.vusPre = 0;
    if (given(env, 'VUS_PRE', '') !== '') {
      problems.push(`VUS_PRE=${env.VUS_PRE}: leave it unset with VUS=auto, where every step starts with all its VUs`);
    }
    return;
  }
  if (!/^\d{1,9}$/.test(vus) || Number(vus) < 1 || Number(vus) > mostVUs) {
    problems.push(`VUS=${vus}: use a whole number from 1 to ${mostVUs}, or auto`);
    settings.vus = 100;
  } else {
    settings.vus = Number(vus);
  }
  const preset = Math.min(Number(values.VUS_PRE || vus), settings.vus);
  settings.vusPre = integer(env, 'VUS_PRE', String(preset), 1, settings.vus, problems);
}

/** The gap lets the requests sent last finish: where a lane waits for the work, it must be longer than the work. */
function readGap(env, values, settings, problems) {
  const task = Math.ceil(settings.taskMs / 1000);
  const waiting = settings.lanes.some((name) => lanes[name].waits);
  const least = waiting ? task + 1 : 1;
  const fallback = Math.max(Number(values.GAP), least);
  settings.gap = integer(env, 'GAP', String(fallback), 1, 600, problems);
  if (settings.gap < least) {
    problems.push(`GAP=${settings.gap}: use at least ${least} seconds, or requests sent last are cut off: ` +
      `a task takes ${settings.taskMs} ms and a lane waits for it`);
  }
}

function readRun(env, settings, problems) {
  const run = given(env, 'RUN', '');
  const problem = run === '' ? '' : runProblem(run, settings);
  if (problem !== '') {
    problems.push(problem);
  }
  return run;
}

function checkPlan(settings, problems) {
  if (settings.breakpoint && settings.lanes.length !== 1) {
    problems.push(`LANES=${settings.lanes.join(',')}: use one lane with PRESET=breakpoint, which stops at its first bad step`);
  }
  if (settings.lanes.includes('wait') && settings.taskMs >= longestWait * 1000) {
    problems.push(`TASK_MS=${settings.taskMs}: use less than ${longestWait * 1000} with the lane wait, whose answer the gateway ` +
      `holds for ${longestWait} s at most`);
  }
  const steps = settings.rates.length * settings.lanes.length;
  if (steps > mostSteps) {
    problems.push(`RPS: ${settings.rates.length} rates on ${settings.lanes.length} lanes are ${steps} steps; ` +
      `use at most ${mostSteps}`);
  }
  const top = settings.rates[settings.rates.length - 1];
  const vus = Math.max(...settings.lanes.map((lane) => stepVUs(settings, lane, top)));
  if (vus > mostVUs) {
    problems.push(`VUS=auto: ${top} requests a second of ${settings.taskMs} ms need ${vus} VUs; set VUS, ` +
      `at most ${mostVUs}, or lower RPS or TASK_MS`);
  }
}

function longestStepName(settings) {
  const lane = settings.lanes.reduce((longest, name) => (name.length > longest.length ? name : longest), '');
  return `${lane}_${settings.rates[settings.rates.length - 1]}`;
}
