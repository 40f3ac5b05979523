import { compare } from '../../lib/compare.js';
import { report } from '../../lib/report.js';
import { readSummary } from '../../lib/stored.js';
import { terminalReport } from '../../lib/terminal.js';
import { readTolerance } from '../../lib/tolerance.js';
import { contains, equal, lacks, test } from '../harness.js';
import { answer, published, summaryOf } from '../fixture.js';

const usual = readTolerance({}).tolerance;
const env = { RPS: '100,200', DURATION: '10', RUN: 'now' };
const before = { ...env, RUN: 'before' };

/** A run whose async answers take so many times as long, and of which so many were good. */
function changed({ factor = 1, failed = 0, drain = 1001.5 }) {
  return (step) => ({
    ...published(step), failures: { refused: step.lane === 'async' ? failed : 0 },
    times: published(step).times.map((time) => (step.lane === 'async' ? time * factor : time)),
    books: { accepted: 100, step: answer(100, { drain_ms: drain }) },
  });
}

/** The verdicts of a comparison that are not `same`, by step and figure. */
function verdicts({ steps }) {
  return Object.fromEntries(steps.flatMap(({ name, figures }) => figures
    .filter(({ verdict }) => verdict === 'worse' || verdict === 'better').map(({ figure, verdict }) => [`${name} ${figure}`, verdict])));
}

export function compareTests() {
  const baseline = summaryOf(before, changed({}));
  const against = (options, tolerance = usual) => summaryOf(env, changed(options), { against: { baseline, tolerance } });

  test('a run is the same as itself', () => {
    const { comparison, passed, findings } = against({});
    equal([comparison.baseline, comparison.worse, comparison.better, comparison.unlike, comparison.steps.length], ['before', 0, 0, [], 4]);
    equal([passed, findings], [true, []]);
    contains(terminalReport(against({})), 'Against before, 4 steps: no figure differs by more than 10 % (times: 10 ms at least; shares: 1 percentage point).');
  });

  test('a figure is worse from the tolerance on, and only in its bad direction', () => {
    equal(verdicts(against({ factor: 4 }).comparison), { 'async_100 p95': 'worse', 'async_200 p95': 'worse' }); // 2.41 ms more on average are not 10 ms
    equal(verdicts(against({ factor: 0.5, drain: 500 }).comparison), { 'async_100 drain': 'better', 'async_200 drain': 'better' });
    equal(verdicts(against({ drain: 1100 }).comparison), {});
    equal(verdicts(against({ drain: 1102 }).comparison), { 'async_100 drain': 'worse', 'async_200 drain': 'worse' });
    equal(verdicts(against({ failed: 150 }).comparison), {
      'async_100 throughput': 'worse', 'async_100 error': 'worse', 'async_200 error': 'worse',
    });
    equal(verdicts(against({ factor: 1.001 }, { tolerance_share: 0, tolerance_ms: 0, tolerance_points: 0 }).comparison), {
      'async_100 avg': 'worse', 'async_100 p95': 'worse', 'async_200 avg': 'worse', 'async_200 p95': 'worse',
    });
  });

  test('what is worse than the baseline fails the run', () => {
    const summary = against({ factor: 4 });
    equal([summary.passed, summary.findings.map(({ level }) => level)], [false, ['failure']]);
    equal(summary.findings[0].text, 'Against before, 4 steps: 2 figures worse by more than 10 % (times: 10 ms at least; shares: 1 percentage point).');
    const text = terminalReport(summary);
    contains(text, 'worse  async_100 p95 latency: 3.90 ms → 15.6 ms (+300 %)');
    contains(text, '+300 % !');
    equal(text.split('2 figures worse').length, 2);
  });

  test('only steps that both runs have whole are compared, by lane and rate', () => {
    const other = summaryOf({ ...before, RPS: '200,1000' }, changed({})); // its step is called async_0200
    const { steps } = compare(other, summaryOf(env, changed({}), { ran: 45 }), usual);
    equal(steps.map(({ name }) => name), ['sync_200']);
    const fewer = summaryOf({ ...env, RPS: '100' }, changed({}), { against: { baseline, tolerance: usual } });
    equal([fewer.passed, fewer.findings], [true, [
      { level: 'note', text: '2 steps of before could not be compared, which this run has not, or not whole: sync_200 and async_200.' },
    ]]);
    const many = summaryOf({ ...before, RPS: '100..200:10' }, changed({}));
    const [{ text }] = summaryOf({ ...env, RPS: '100' }, changed({}), { against: { baseline: many, tolerance: usual } }).findings;
    equal(text, '20 steps of before could not be compared, which this run has not, or not whole.');
    const nothing = summaryOf(env, changed({}), { against: { baseline: summaryOf({ ...before, RPS: '50' }, changed({})), tolerance: usual } });
    equal([nothing.passed, nothing.findings[0].text], [false, 'No step of this run is one of before: nothing could be compared.']);
  });

  test('a lower break point is worse, although every step that both runs have is the same', () => {
    const until = (broke) => (step) => (step.rps > broke ? null : { sent: step.rps * 10, dropped: step.rps === broke ? step.rps : 0, times: [2, 2, 3, 4, 5] });
    const breaks = (run, broke, against) => summaryOf({ PRESET: 'breakpoint', RPS: '100..500:100', RUN: run }, until(broke), {
      against, ran: (broke / 100 - 1) * 12 + 6, // k6 ends such a run amid the step that breaks
    });
    const [high, low] = [breaks('high', 500), breaks('low', 300)];
    equal([high.breakpoint.last_good_rps, low.breakpoint.last_good_rps], [400, 200]);
    const worse = breaks('low', 300, { baseline: high, tolerance: usual });
    equal([worse.passed, worse.findings[0]], [false, { level: 'failure', text: 'The lane held 200/s, and in high 400/s.' }]);
    equal(breaks('high', 500, { baseline: low, tolerance: usual }).passed, true);
    equal(breaks('low', 300, { baseline: high, tolerance: { ...usual, tolerance_share: 0.5 } }).passed, true);
    contains(breaks('none', 100, { baseline: low, tolerance: usual }).findings.map(({ text }) => text).join(), 'The lane held no rate, and in low 200/s.');
  });

  test('other experiments are compared, but not in silence', () => {
    const other = summaryOf({ ...before, TASK_MS: '500', PAYLOAD_BYTES: '7' }, changed({}));
    const { findings } = summaryOf(env, changed({}), { against: { baseline: other, tolerance: usual } });
    equal(findings, [{ level: 'note', text: 'The run is not the same experiment as before: TASK_MS 1000 instead of 500 and PAYLOAD_BYTES 0 instead of 7.' }]);
  });

  test('the report has the differences, and the baseline in its charts', () => {
    const page = report(against({ factor: 4 }));
    contains(page, '<h2 id="baseline">Against the baseline before</h2>');
    contains(page, '<td class="worse">3.90 ms → 15.6 ms<small>+300 % worse</small></td>');
    contains(page, 'baseline before</span>');
    contains(page, '<rect class="baseline"');
    lacks(report(summaryOf(env, changed({}))), 'class="baseline"');
  });

  test('a stored summary is read, also one of an earlier version', () => {
    const text = JSON.stringify(baseline);
    equal(report(readSummary(text, 'f').summary) === report(baseline), true);
    const old = JSON.parse(text);
    old.comparison = { ...against({ factor: 4 }).comparison };
    delete old.comparison.lacking;
    delete old.comparison.held;
    equal(readSummary(JSON.stringify(old), 'f').summary.comparison, { lacking: [], held: null, ...old.comparison });
    delete old.comparison;
    delete old.environment.workers;
    old.steps.forEach((step) => delete step.prediction);
    const { summary, problem } = readSummary(JSON.stringify(old), 'f');
    equal([problem, summary.comparison, summary.environment.workers, summary.steps[0].prediction], ['', null, null, null]);
    lacks(report(summary), '>undefined');
    equal(readSummary('{', 'a/b.json').problem, 'a/b.json: this is no JSON');
    equal(readSummary('{"schema":1,"steps":[{"lane":"sync"},{"lane":"\\"><b>"}]}', 'f').problem, 'f: this is of a version that knows other lanes than this one: "><b>');
    ['null', '{}', '{"schema":2,"steps":[]}', '[]'].forEach((other) => contains(readSummary(other, 'f').problem, 'f: this is no summary.json of a sweep'));
  });

  test('the tolerance is read and checked', () => {
    equal(usual, { tolerance_share: 0.1, tolerance_ms: 10, tolerance_points: 1 });
    equal(readTolerance({ TOLERANCE: ' 2.5 ', TOLERANCE_MS: '0', TOLERANCE_POINTS: '100' }), {
      tolerance: { tolerance_share: 0.025, tolerance_ms: 0, tolerance_points: 100 }, problems: [],
    });
    equal(readTolerance({ TOLERANCE: '-1', TOLERANCE_POINTS: '101' }).problems, [
      'TOLERANCE=-1: use a number of per cent from 0 to 1000', 'TOLERANCE_POINTS=101: use a number of percentage points from 0 to 100',
    ]);
  });
}
