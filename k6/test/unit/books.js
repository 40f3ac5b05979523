import { bookMetrics, bookedStep, booksScenario, figuresOf } from '../../lib/books.js';
import { bookColumns } from '../../lib/columns.js';
import { report } from '../../lib/report.js';
import { planSteps, scenarios, thresholds } from '../../lib/steps.js';
import { terminalReport } from '../../lib/terminal.js';
import { contains, equal, lacks, ok, test } from '../harness.js';
import { answer, published, settingsOf, summaryOf } from '../fixture.js';

const oneStep = { LANES: 'async', RPS: '100', DURATION: '10' };
const times = [2, 2, 3, 4, 5];

/** The summary of one step with these books, of which 1,000 answers were good. */
const booked = (books, measured = {}) => summaryOf(oneStep, () => ({ sent: 1000, times, books, ...measured }));
const textOf = (summary, level) => summary.findings.filter((finding) => finding.level === level).map((finding) => finding.text).join('\n');

export function booksTests() {
  test('each step that goes through the queue has one small scenario for its books', () => {
    const settings = settingsOf({ RPS: '50,100', LANES: 'sync,async,wait', BOOKS_TIMEOUT: '20' });
    const steps = planSteps(settings);
    const all = scenarios(steps, settings);
    equal(Object.keys(all).filter((name) => all[name].exec === 'readStepBooks'),
      ['books_async_050', 'books_wait_050', 'books_async_100', 'books_wait_100']);
    equal(all.books_async_050, {
      executor: 'per-vu-iterations', exec: 'readStepBooks', vus: 1, iterations: 1, startTime: '63s', maxDuration: '30s', gracefulStop: '0s',
    });
    equal(bookedStep(Object.keys(booksScenario(steps[1], settings))[0]), 'async_050');
    const metrics = bookMetrics(steps[1]);
    ok(metrics.length > 40 && metrics.every((name) => name in thresholds(steps, settings)), 'figures of the books are not kept apart');
  });

  test('without books nothing is asked or kept', () => {
    const settings = settingsOf({ BOOKS: 'off', RPS: '50' });
    const steps = planSteps(settings);
    equal(Object.keys(scenarios(steps, settings)), ['sync_50', 'async_50']);
    ok(Object.keys(thresholds(steps, settings)).every((name) => !name.startsWith('books{')), 'figures are kept');
    const summary = summaryOf({ BOOKS: 'off' }, published);
    equal([summary.steps[1].books, summary.settings.books, summary.passed], [null, false, true]);
    [report(summary), terminalReport(summary)].forEach((text) => lacks(text, 'accounted for'));
  });

  test('what is null has no figure', () => {
    const names = figuresOf(answer(0)).map(([name]) => name);
    equal(names, ['read', 'settled', 'completed', 'dead', 'discarded', 'duplicates']);
  });

  test('balanced books', () => {
    const summary = summaryOf({}, published);
    const [sync, async] = summary.steps;
    equal(sync.books, null);
    const span = { avg: 1010, p50: 1005, p95: 1020, p99: 1030, max: 1040.123 };
    equal(async.books, {
      state: 'balanced', accepted: 1501, unknown: 0, settled: 1501, completed: 1501, dead: 0, discarded: 0, duplicates: 0, missing: 0,
      surplus: 0, hidden: 0, end_to_end_ms: span, queue_wait_ms: span, service_time_ms: span, drain_ms: 1001.5, settled_after_seconds: 1.5,
      read_after_seconds: 2.5, late: false,
    });
    equal([summary.passed, summary.findings], [true, []]);
    [report(summary), terminalReport(summary)].forEach((text) => contains(text, 'Every accepted task is accounted for: 54,008 accepted, 54,008 completed.'));
  });

  test('a missing task fails the run and is named', () => {
    const summary = booked({ step: answer(999), end: answer(999, { accepted_here: 3, read_after: 42 }) });
    equal([summary.passed, summary.steps[0].books.state, summary.steps[0].books.missing], [false, 'missing', 1]);
    contains(textOf(summary, 'failure'), '1 accepted task missing: neither completed nor dead nor discarded when ' +
      'the books were read last. async_100: 1, 42 s after its end.');
    contains(terminalReport(summary), 'TASKS MISSING');
    lacks(report(summary), 'is accounted for');
  });

  test('what the gateway says it accepted does not count', () => {
    equal(booked({ step: answer(999, { accepted_here: 999 }) }).passed, false);
    equal(booked({ step: answer(1000, { accepted_here: 400 }) }).passed, true);
  });

  test('dead and discarded tasks are accounted for, and noted', () => {
    const summary = booked({ step: answer(990, { dead: 7, discarded: 3 }) });
    equal([summary.passed, summary.steps[0].books.state], [true, 'balanced']);
    contains(textOf(summary, 'note'), '7 tasks ended dead');
    contains(textOf(summary, 'note'), '3 tasks ended discarded');
    contains(terminalReport(summary), '1,000 accepted, 990 completed, 7 dead and 3 discarded.');
  });

  test('requests of unknown outcome widen what is right, and are said so', () => {
    const failures = { refused: 4 };
    const done = (settled) => booked({ accepted: 996, unknown: 4, step: answer(settled) }, { failures });
    equal([995, 996, 998, 1000, 1001].map((settled) => done(settled).passed), [false, true, true, true, false]);
    contains(textOf(done(998), 'note'), '4 requests of unknown outcome');
    contains(textOf(done(998), 'note'), 'and hold 2 more');
    contains(textOf(done(1001), 'failure'), 'async_100: 5 more than accepted');
    contains(terminalReport(done(998)), 'unknown');
    lacks(terminalReport(done(996)), 'surplus');
  });

  test('a settled task of unknown outcome can hide a lost one: nobody says that every task is accounted for', () => {
    const done = (settled, unknown, accepted = 1000) => booked({ accepted, unknown, step: answer(settled) }, { failures: { none: 5 } });
    const lost = done(1000, 5);
    equal([lost.steps[0].books.state, lost.steps[0].books.missing, lost.steps[0].books.hidden], ['balanced', 0, 5]);
    contains(textOf(lost, 'note'), 'Up to 5 accepted tasks may be missing behind the unknown ones.');
    [report(lost), terminalReport(lost)].forEach((text) => {
      lacks(text, 'Every accepted task');
      contains(text, 'The books balance but for 5 requests of unknown outcome: 1,000 accepted, 1,000 completed.');
    });
    equal([[1003, 5], [1005, 5], [998, 5], [2, 5]].map((counts) => done(...counts).steps[0].books.hidden), [2, 0, 5, 2]);
    lacks(textOf(done(1005, 5), 'note'), 'may be missing');
    contains(terminalReport(done(0, 5, 0)), '0 accepted, none settled.');
    contains(terminalReport(done(0, 0, 0)), 'No task was accepted into the queue.');
  });

  test('requests without an answer at the end of the gap are of unknown outcome', () => {
    const { books } = booked({ accepted: 990, step: answer(1000) }, { answered: 990 }).steps[0];
    equal([books.unknown, books.surplus, books.state], [10, 10, 'balanced']);
  });

  test('a surplus without unknown outcomes fails the run', () => {
    const summary = booked({ step: answer(1001) });
    equal([summary.passed, summary.steps[0].books.state, summary.steps[0].books.surplus], [false, 'surplus', 1]);
    contains(textOf(summary, 'failure'), 'More tasks were done than this run can have handed in');
  });

  test('duplicates are shown and noted', () => {
    const summary = booked({ step: answer(1000, { duplicates: 3 }) });
    equal([summary.passed, summary.steps[0].books.duplicates], [true, 3]);
    contains(textOf(summary, 'note'), '3 tasks executed again');
  });

  test('the reading with more outcomes counts, and the later of two alike', () => {
    const state = (step, end) => booked({ step, end }).steps[0].books;
    equal(state(answer(900), answer(1000)).state, 'balanced');
    equal(state(answer(1000), answer(0)).state, 'balanced'); // The gateway has forgotten an old run by then.
    equal(state(answer(1000), answer(1000, { duplicates: 2 })).duplicates, 2);
  });

  test('books that could not be read fail the run, unless there is nothing to account for', () => {
    const summary = booked({});
    equal([summary.passed, summary.steps[0].books.state, summary.steps[0].books.completed], [false, 'unread', null]);
    contains(textOf(summary, 'failure'), 'The books of async_100 could not be read');
    [report(summary), terminalReport(summary)].forEach((text) => contains(text, 'NOT READ'));
    equal(textOf(booked({ accepted: 0 }, { failures: { none: 1000 } }), 'failure').includes('could not be read'), false);
  });

  test('work that is left over when the next step begins is a note, with its drain time', () => {
    const late = (seconds) => summaryOf({ ...oneStep, RPS: '100,200' }, (step) => (
      { sent: 1000, times, books: { step: answer(1000, { drain_ms: 4200, settled_after: step.rps === 100 ? seconds : 50 }) } }));
    equal(late(3.01).steps.map(({ books }) => books.late), [true, false]);
    equal(late(0).steps.map(({ books }) => [books.late, books.settled_after_seconds]), [[true, null], [false, 50]]);
    equal([late(3).findings, late(3.01).passed], [[], true]);
    contains(textOf(late(3.01), 'note'), 'Tasks of async_100 (drain 4.20 s) were still open when the next step began');
  });

  test('a breakpoint run has to account for its tasks as well', () => {
    const run = (step) => summaryOf({ PRESET: 'breakpoint', RPS: '100,200', DURATION: '10' }, () => ({ sent: 1000, times, books: { step } }));
    equal([run(answer(1000)).passed, run(answer(999)).passed], [true, false]);
  });

  test('the result of the lane wait that comes too late is an error, but fails no run', () => {
    const summary = summaryOf({ ...oneStep, LANES: 'wait' }, () => (
      { sent: 1000, times, failures: { late: 20 }, books: { accepted: 1000, step: answer(1000) } }));
    equal([summary.passed, summary.steps[0].ok, summary.steps[0].error_share], [true, 980, 0.02]);
    contains(textOf(summary, 'note'), '20 tasks of the lane wait accepted, but not finished in time');
  });

  test('the report has the charts and the table of the books', () => {
    const page = report(summaryOf({ LANES: 'sync,async,wait' }, published));
    ['Accepted to done, p50, ms', 'Accepted to done, p95, ms', 'Drain time, ms'].forEach((title) => contains(page, `<h3>${title}</h3>`));
    contains(page, '<title>async at 400/s: 1.02 s</title>');
    equal(page.split('<title>sync at 400/s').length, 5); // Sync has a bar in each of the four charts, and none in the books.
    contains(page, 'wait at 400/s: the median answer took 1.00&nbsp;s, the median task was done 1.00&nbsp;s after it was accepted');
    ['>undefined', 'NaN', 'Infinity', '>null'].forEach((part) => lacks(page, part));
    contains(page, 'BOOKS_TIMEOUT=60 GATEWAY_URL=');
    equal(bookColumns(summaryOf({}, published)).map((column) => column.title).slice(2, 8),
      ['accepted', 'completed', 'dead', 'discarded', 'missing', 'duplicates']);
  });
}
