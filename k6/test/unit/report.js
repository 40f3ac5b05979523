import crypto from 'k6/crypto';

import { barChart, readings } from '../../lib/charts.js';
import { measures } from '../../lib/measures.js';
import { report } from '../../lib/report.js';
import { chartSheet } from '../../lib/sheet.js';
import { lanes } from '../../lib/lanes.js';
import { palette } from '../../lib/theme.js';
import { close, contains, equal, lacks, ok, test } from '../harness.js';
import { answer, published, summaryOf } from '../fixture.js';

const measure = (key) => measures.find((candidate) => candidate.key === key);
const occurrences = (text, part) => text.split(part).length - 1;

export function reportTests() {
  const sweep = summaryOf({}, published);

  test('the page has the headline, the four charts and those of the books, the table and the explanation', () => {
    const page = report(sweep);
    contains(page, '<h1>At 400 requests a second, async answered 416 times as fast as sync and accepted 4.0 times as many requests.</h1>');
    contains(page, 'Sync finished 99.9/s in 1.00&nbsp;s on average and left 75.0&nbsp;% of the load unsent; ');
    contains(page, 'Accepted is not done: the median task of async was done 1.00&nbsp;s after it was accepted, of which the work is 1&nbsp;s.');
    ['Average latency, ms', 'p95 latency, ms', 'Throughput, answers a second', 'Drop rate, %'].forEach((title) => contains(page, `<h3>${title}</h3>`));
    equal(occurrences(page, '<svg viewBox="0 0 560'), 7);
    equal(occurrences(report(summaryOf({ LANES: 'sync' }, published)), '<svg viewBox="0 0 560'), 4);
    contains(page, '100&nbsp;VUs held 1&nbsp;s each send at most 100/s down the sync lane');
    contains(page, '<th scope="row" class="left">sync predicted</th><td>0</td><td>0</td><td>33.3</td><td>50.0</td><td>60.0</td><td>66.7</td>');
    lacks(page, 'Error rate');
  });

  test('the page needs nothing from elsewhere and runs its own script alone', () => {
    const page = report(sweep);
    ['<img', 'url(', '@import', ' src=', '>undefined', 'NaN', 'Infinity'].forEach((part) => lacks(page, part));
    equal([occurrences(page, '<script'), occurrences(page, '<link'), occurrences(page, '<link rel="icon" href="data:')], [1, 1, 1]);
    const script = page.slice(page.indexOf('<script>') + 8, page.indexOf('</script>'));
    contains(page, `script-src &#39;sha256-${crypto.sha256(script, 'base64')}&#39;">`);
    contains(page, `content="default-src &#39;none&#39;; `);
  });

  test('the page is linked to its parts and to the files beside it', () => {
    const page = report(sweep);
    const parts = [...page.matchAll(/<a href="#([a-z]+)">/g)].map(([, id]) => id);
    equal(parts, ['load', 'books', 'theory', 'steps', 'run']);
    parts.forEach((id) => contains(page, `<h2 id="${id}">`));
    ['summary.json', 'steps.csv', 'chart.svg'].forEach((file) => contains(page, `<a href="${file}"`));
  });

  test('the page says where the run took place, as far as it knows', () => {
    const env = { HOST_CPU_MODEL: 'Fast', HOST_MEMORY_BYTES: '8589934592', HOST_OS: 'System 1', WORKER_CONCURRENCY: '300', WORKER_COUNT: '3', WORKER_EXECUTOR: 'keyed' };
    const page = report(summaryOf({}, published, { extraEnv: env }));
    ['<dd>Fast</dd>', '<dd>8.0 GiB</dd>', '<dd>System 1</dd>', '<dd>3 workers do up to 300 tasks at once in all (executor keyed)</dd>'].forEach((part) => contains(page, part));
    ['<dt>memory</dt>', '<dt>workers</dt>', '<h3>Machine</h3>'].forEach((part) => lacks(report(sweep), part));
  });

  test('the queue is held against theory where the workers are known', () => {
    const overload = report(summaryOf({ RPS: '50,200', LANES: 'async' }, published, { extraEnv: { WORKER_CONCURRENCY: '100' } }));
    contains(overload, '100 ÷ 1&nbsp;s = 100 tasks a second; the highest rate here, 200/s down async, needs 200&nbsp;% of it.');
    contains(overload, 'in async_200 the queue grows for as long as the load lasts');
    contains(overload, '<td>grows</td><td>14.8 s</td><td>1.01 s</td>');
    contains(report(sweep), 'which this run was not told');
    contains(report(summaryOf({ ACTION: 'cpu' }, published, { extraEnv: { WORKER_CONCURRENCY: '100' } })), 'Nothing is predicted of action cpu');
    lacks(report(summaryOf({ LANES: 'sync' }, published)), 'Predicted and measured');
  });

  test('nothing is said of the time of tasks that take as long as what they call', () => {
    const page = report(summaryOf({ ACTION: 'http' }, published, { extraEnv: { WORKER_CONCURRENCY: '100' } }));
    contains(page, 'Nothing is predicted for sync: how long tasks of the action http keep a VU does not follow from the settings.');
    contains(page, '<th scope="row" class="left">sync predicted</th><td>–</td>');
    contains(page, 'Action http, 30&nbsp;s a step');
    contains(page, '<dt>task</dt><dd>http</dd>');
    ['held 1&nbsp;s each', 'of which the work is', 'class="predicted"', '>predicted</span>', '1&nbsp;s a task', 'NaN'].forEach((part) => lacks(page, part));
    lacks(report(summaryOf({ ACTION: 'cpu' }, published)), 'of which the work is');
  });

  test('what a chart says to whoever points at it is what it draws', () => {
    const [first, , , last] = readings(summaryOf({ RPS: '50,100,200,400' }, published), measure('drop'), 560);
    equal([first.rate, first.from, first.to], ['50 requests a second', 50 / 560, 176 / 560]);
    equal(last.rows, [
      { lane: 'sync', text: '75.0 %', others: ['predicted 75.0 %', 'published 75.0 %'] }, { lane: 'async', text: '0 %', others: ['published 0 %'] },
    ]);
  });

  test('the page names the strategy of the gateway where it is known', () => {
    contains(report(summaryOf({}, published, { extraEnv: { GATEWAY_STRATEGY: 'shared' } })), '<dt>publish strategy</dt><dd>shared</dd>');
    lacks(report(sweep), 'publish strategy');
  });

  test('what comes from outside is escaped', () => {
    const env = { RPS: '50', GATEWAY_URL: 'http://h/<i>&"', RUN: 'r' };
    const page = report(summaryOf(env, published, { extraEnv: { COMMIT: '<script>alert(1)</script>', GO_VERSION: '"&' } }));
    equal(occurrences(page, '<script'), 1);
    lacks(page, '<i>&"');
    contains(page, '&lt;script&gt;alert(1)&lt;/script&gt;');
    contains(page, 'http://h/&lt;i&gt;&amp;&quot;');
  });

  test('errors bring a chart more, a column and their classes', () => {
    const failing = summaryOf({ RPS: '50,100' }, (step) => Object.assign(published(step), { failures: { refused: 30, none: 3 } }));
    const page = report(failing);
    equal(occurrences(page, '<svg viewBox="0 0 560'), 8);
    ['<h3>Error rate, %</h3>', '>errors</th>', '>refused (429 or 503)</th>', '>no answer</th>', '<b>Failure.</b>', '>failed</span>']
      .forEach((part) => contains(page, part));
    contains(barChart(failing, measure('throughput'), 560, 310), 'class="lane-sync failed"');
  });

  test('each bar stands for its step and says its value', () => {
    const chart = barChart(sweep, measure('drop'), 560, 310);
    equal(occurrences(chart, '<title>sync at '), 8);
    contains(chart, '<title>sync at 400/s: 75.0 %</title>');
    contains(chart, '<title>async at 400/s: 0 %</title>');
    const heights = [...chart.matchAll(/class="lane-sync" [^>]*height="([\d.]+)"/g)].map((match) => Number(match[1]));
    ok(heights.every((height, i) => i === 0 || height >= heights[i - 1]), `drops do not rise: ${heights}`);
    close(heights[heights.length - 1], (310 - 64) * 0.75, 0.1);
  });

  test('published figures stand beside a run that asks the same, and beside no other', () => {
    contains(barChart(sweep, measure('drop'), 560, 310), '<title>published 2.97 %</title>');
    contains(barChart(sweep, measure('avg'), 560, 310), '<title>published 2.00 ms to 4.00 ms</title>');
    lacks(barChart(summaryOf({ TASK_MS: '500' }, published), measure('drop'), 560, 310), 'published');
    lacks(report(summaryOf({ VUS: '200' }, published)), 'published figure');
    lacks(barChart(summaryOf({ RPS: '75' }, published), measure('avg'), 560, 310), 'published');
  });

  test('a step without a good answer has no bar, one rate is enough, many rates fit', () => {
    const silent = summaryOf({ RPS: '50' }, () => ({ sent: 50, answered: 0, times: null }));
    contains(barChart(silent, measure('avg'), 560, 310), '>–</text>');
    lacks(report(silent), 'NaN');
    const many = summaryOf({ RPS: '10..400:10', LANES: 'async' }, published);
    const chart = barChart(many, measure('throughput'), 560, 310);
    ok(occurrences(chart, 'class="tick middle"') < 20, 'the labels of 40 rates overlap');
    lacks(report(many), 'NaN');
  });

  test('a run that was stopped before its first request claims nothing', () => {
    const page = report(summaryOf({}, () => null, { ran: 0 }));
    contains(page, '<h1>The run was stopped before its first step was complete.</h1>');
    equal(occurrences(page, '>nothing was measured</text>'), 4);
    ['nothing was dropped', 'NaN', '>undefined', 'Infinity', '<p></p>'].forEach((part) => lacks(page, part));
  });

  test('books that nobody told are not said to be wrong', () => {
    const words = (books) => report(summaryOf({ RPS: '50', LANES: 'async' }, () => ({ sent: 50, answered: 0, books })));
    contains(words({ accepted: 0, unknown: 50 }), '<p>Not all books could be read.</p>');
    contains(words({ accepted: 50, end: answer(48) }), '<p>The books do not balance: the findings at the top say where.</p>');
  });

  test('labels lie neither on bars nor on each other', () => {
    const crowded = summaryOf({ RPS: '100..3000:100', VUS: 'auto' }, (step) => ({ sent: step.rps * 30, times: [1000, 1, 1, 1, 1] }));
    const boxes = [...barChart(crowded, measure('avg'), 560, 310).matchAll(/class="value" x="([\d.]+)" y="([-\d.]+)">([^<]+)</g)]
      .map(([, x, y, text]) => ({ x: Number(x), y: Number(y), half: text.length * 3 }));
    ok(boxes.length > 5, 'there are hardly any labels');
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
      ok(Math.abs(a.x - b.x) >= a.half + b.half || Math.abs(a.y - b.y) >= 11, `labels overlap at ${a.x} and ${b.x}`);
    }));
  });

  test('the sheet is one SVG with every chart, light and dark', () => {
    const sheet = chartSheet(sweep);
    equal([occurrences(sheet, '<svg '), occurrences(sheet, 'class="title"')], [1, 4]);
    contains(sheet, '@media (prefers-color-scheme:dark)');
    contains(sheet, 'Twinlane: sync and async at 50 to 400 requests a second');
    lacks(sheet, 'var(');
  });

  test('colours can be read on their ground', () => {
    for (const mode of ['light', 'dark']) {
      const colours = palette(mode);
      ['ink', 'muted', 'good', 'bad', 'note', 'link'].forEach((name) => {
        ok(contrast(colours[name], colours.card) >= 4.5, `${name} on a ${mode} card`);
        ok(contrast(colours[name], colours.page) >= 4.5, `${name} on a ${mode} page`);
      });
      Object.keys(lanes).forEach((name) => ok(contrast(colours[`lane-${name}`], colours.card) >= 3, `${name} on ${mode}`));
    }
  });
}

/** The contrast ratio of two colours as WCAG 2 defines it. */
function contrast(a, b) {
  const [lighter, darker] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
