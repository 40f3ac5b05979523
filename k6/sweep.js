// The sweep: the same task sent down each lane at each rate, one k6 scenario a step, and a report at the end.
//
// Start it with `k6/run`; k6/README.md lists the settings. k6 evaluates this file once for every VU, so the top level
// only reads settings and makes the plan.

import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Gauge } from 'k6/metrics';

import { bookedStep } from './lib/books.js';
import { stepsCSV } from './lib/csv.js';
import { requireBooks, requireGateway } from './lib/gateway.js';
import { lanes } from './lib/lanes.js';
import { readBooks } from './lib/reader.js';
import { report } from './lib/report.js';
import { readSettings, runProblem } from './lib/settings.js';
import { chartSheet } from './lib/sheet.js';
import { boundedClasses, planSteps, scenarios, thresholds } from './lib/steps.js';
import { readSummary } from './lib/stored.js';
import { summarise } from './lib/summary.js';
import { openingLine, openLine, stepLine, terminalReport } from './lib/terminal.js';
import { booked, judge, stepRequest } from './lib/tasks.js';
import { readTolerance } from './lib/tolerance.js';

const { settings, problems } = readSettings(__ENV);
const { tolerance, problems: toleranceProblems } = readTolerance(__ENV);
const baseline = readBaseline(__ENV.BASELINE_FILE);
problems.push(...toleranceProblems, ...baseline.problems);
if (problems.length > 0) {
  throw `These settings cannot be used:\n  ${problems.join('\n  ')}`;
}
const steps = planSteps(settings);
const stepNamed = new Map(steps.map((step) => [step.name, step]));

const requestsSent = new Counter('requests_sent');
const answersFailed = new Counter('answers_failed');
const answersUnexpected = new Counter('answers_unexpected');
const tasksAccepted = new Counter('tasks_accepted');
const tasksUnknown = new Counter('tasks_unknown');

// What a step's counts are divided by, for readers of the metrics: k6 says nowhere how long a scenario lasts.
const stepSeconds = new Gauge('step_seconds');

/** What k6 runs. Bodies are discarded by default and kept only where an answer is judged. */
export const options = {
  scenarios: scenarios(steps, settings),
  thresholds: thresholds(steps, settings),
  tags: { testid: settings.run || timestamp(new Date()) },
  systemTags: ['scenario', 'name', 'method', 'status', 'expected_response', 'error_code'],
  summaryTrendStats: ['avg', 'min', 'med', 'p(95)', 'p(99)', 'max', 'count'],
  discardResponseBodies: true,
  setupTimeout: '90s',
  teardownTimeout: `${settings.booksTimeout + 30}s`,
};

/** Checks that a gateway is there and settles the run's id, which all VUs and the report then share. */
export function setup() {
  const run = settings.run || exec.test.options.tags.testid;
  const problem = runProblem(run, settings);
  if (problem !== '') {
    exec.test.abort(problem);
  }
  const k6 = requireGateway(settings);
  requireBooks(run, steps, settings);
  console.log(openingLine(run, steps, settings));
  return { run, startedAt: new Date().toISOString(), k6 };
}

// What this VU sends in the step it is in; VUs move from step to step.
let current = { name: '' };

/** Sends one task down the lane of the running scenario and judges the answer. */
export function send(shared) {
  const name = exec.scenario.name;
  if (current.name !== name) {
    current = prepare(name, shared.run);
  }
  if (exec.scenario.iterationInTest === 0) {
    stepSeconds.add(current.step.seconds);
    console.log(stepLine(steps, current.step, settings));
  }

  requestsSent.add(1);
  let status = 0;
  let body = '';
  try {
    const response = http.post(current.url, current.body, current.params);
    status = response.status;
    body = response.body;
  } catch {
    // No answer: refused, reset or timed out. It is counted as such; a line for each would drown the run.
  }

  if (current.step.books) {
    book(status, body);
  }
  const verdict = judge(current.step.lane, status, body);
  if (verdict !== 'ok') {
    answersFailed.add(1, { class: verdict });
    if (!boundedClasses.includes(verdict)) {
      answersUnexpected.add(1);
    }
  }
}

/** Counts what the gateway promised with an answer, which the books are held against. */
function book(status, body) {
  const meaning = booked(status, body);
  if (meaning === 'accepted') {
    tasksAccepted.add(1);
  } else if (meaning === 'unknown') {
    tasksUnknown.add(1);
  }
}

function prepare(name, run) {
  const step = stepNamed.get(name);
  const lane = lanes[step.lane];
  const { url, body, headers } = stepRequest(run, step, settings);
  const params = {
    headers,
    tags: { name: lane.path },
    responseType: 'text',
    responseCallback: http.expectedStatuses(...lane.statuses),
    timeout: '70s', // Longer than the longest task, so that the gateway and not k6 gives up first.
    throw: true,
  };
  return { name, step, url, body, params };
}

/** Reads the books of the step that has just ended: at least until its gap is over, for answers still come in it. */
export function readStepBooks(shared) {
  const step = stepNamed.get(bookedStep(exec.scenario.name));
  const ended = exec.scenario.startTime;
  readBooks(shared.run, [step], settings, {
    reading: 'step',
    ended: () => ended,
    lasted: () => step.seconds,
    from: () => ended + settings.gap * 1000,
    open: (...work) => console.log(openLine(...work)),
  });
}

/**
 * Reads all books once more at the end of the run. This waits only where a run was ended early, or where work is left
 * over whose time is not over yet.
 */
export function teardown(shared) {
  const now = Date.now();
  const startOf = (step) => Date.parse(shared.startedAt) + step.startsAt * 1000;
  const begun = steps.filter((step) => step.books && startOf(step) < now);
  const ended = (step) => Math.min(startOf(step) + step.seconds * 1000, now);
  readBooks(shared.run, begun, settings, {
    reading: 'end',
    ended,
    lasted: (step) => (ended(step) - startOf(step)) / 1000,
    from: () => now,
    open: (...work) => console.log(openLine(...work)),
  });
}

/** The summary of the run to compare with, null for none. It is read only where it is needed: not for each VU. */
function readBaseline(file) {
  if (!file || __VU !== 0) {
    return { summary: null, problems: [] };
  }
  const { summary, problem } = readSummary(open(file), file);
  return { summary, problems: problem === '' ? [] : [`BASELINE: ${problem}`] };
}

/** Turns what k6 measured into the report, the figures and the chart, and prints the table. */
export function handleSummary(data) {
  if (data.setup_data === undefined) {
    return {}; // The run ended before any load: k6 says why.
  }
  const against = baseline.summary === null ? null : { baseline: baseline.summary, tolerance };
  const summary = summarise(data, settings, steps, __ENV, new Date(), against);
  const folder = `${settings.out}/${summary.run}`;
  return {
    [`${folder}/report.html`]: report(summary),
    [`${folder}/summary.json`]: `${JSON.stringify(summary, null, 2)}\n`,
    [`${folder}/steps.csv`]: stepsCSV(summary),
    [`${folder}/chart.svg`]: chartSheet(summary),
    stdout: terminalReport(summary),
  };
}

/** A run's default id: the time in UTC, such as 20260131T235959Z. */
function timestamp(now) {
  return now.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
}
