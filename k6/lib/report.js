// report.html: one file that needs no network and no other file.

import { booksSentence } from './audit.js';
import { bookedSteps } from './books.js';
import { anyBeside, barChart, readings } from './charts.js';
import { bookColumns, stepColumns } from './columns.js';
import { comparison } from './comparison.js';
import { files, facts } from './facts.js';
import * as format from './format.js';
import { headlines, topSteps } from './headline.js';
import { lanes } from './lanes.js';
import { escape, prose } from './markup.js';
import { bookMeasures } from './measures.js';
import { page } from './page.js';
import { anyPublished } from './published.js';
import { chartTitle, conditions, shownMeasures } from './sheet.js';
import { nextRate, table } from './tables.js';
import { theory } from './theory.js';
import { booksWords, doneSentence, errorWords, dropWords, throughputWords } from './words.js';

const chart = { width: 560, height: 310, tall: 430 };
const mark = '<svg width="26" height="20" viewBox="0 0 26 20" aria-hidden="true">' +
  '<rect class="lane-sync" y="2" width="26" height="6" rx="3"/>' +
  '<rect class="lane-async" y="12" width="26" height="6" rx="3"/></svg>';

/** Renders a summary as a page. */
export function report(summary) {
  const parts = [
    laneCards(summary),
    comparison(summary),
    charts(summary),
    books(summary),
    theory(summary),
    `<h2 id="steps">Every step</h2>
<div class="card">${table('Every step', stepColumns(summary), summary.steps, nextRate)}</div>`,
    `<h2 id="run">The run</h2>
<div class="card">${facts(summary)}</div>`,
  ].filter((part) => part !== '');
  return page(`Twinlane sweep ${summary.run}`, [head(summary, contents(parts)), ...parts].join('\n'));
}

function head(summary, links) {
  const verdict = summary.passed ? '<span class="verdict passed">passed</span>'
    : '<span class="verdict failed-run">failed</span>';
  const ordered = ['failure', 'note'].flatMap((level) => summary.findings.filter((finding) => finding.level === level));
  const items = ordered.map((finding) => `<li class="${finding.level}">` +
    `<b>${finding.level === 'failure' ? 'Failure' : 'Note'}.</b> ${prose(finding.text)}</li>`);
  const { title, text } = headlines(summary);
  const told = [text, doneSentence(summary), booksSentence(summary)].filter((part) => part !== '');
  return `<header>
<div class="brand">${mark}<b>Twinlane</b><span>sweep report</span>${verdict}
<span class="when">${escape(summary.run)} · ${escape(format.moment(summary.started_at))}</span></div>
<h1>${prose(title)}</h1>
<p class="lede">${prose(told.join(' '))}</p>
<p class="asked">${prose(`${format.sentence(conditions(summary))}.`)}</p>
${items.length === 0 ? '' : `<ul class="findings">${items.join('')}</ul>`}
<nav aria-label="Contents">${links}${files()}</nav>
</header>`;
}

/** Links to the parts that have a heading. */
function contents(parts) {
  return parts.map((part) => /^<h2 id="([a-z]+)">([^<:]+)/.exec(part)).filter((found) => found !== null)
    .map(([, id, title]) => `<a href="#${id}">${title}</a>`).join('');
}

/** The lanes side by side at the highest rate that all of them completed. */
function laneCards(summary) {
  const cards = topSteps(summary).map((step) => {
    const figures = [
      ['average', format.time(step.latency_ms.avg)],
      ['p95', format.time(step.latency_ms.p95)],
      [lanes[step.lane].verb, format.rate(step.goodput_rps)],
      ['dropped', format.share(step.drop_share)],
    ].map(([name, value]) => `<div><dt>${name}</dt><dd>${escape(value)}</dd></div>`);
    return `<section class="lane" style="--lane:var(--lane-${step.lane})">` +
      `<h3><b>${escape(step.lane)}</b> at ${format.count(step.rps)} requests a second</h3>` +
      `<dl class="figures">${figures.join('')}</dl></section>`;
  });
  return cards.length === 0 ? '' : `<div class="lanes">${cards.join('')}</div>`;
}

/** The two latencies side by side, then each other chart beside the words that explain it. */
function charts(summary) {
  const shown = shownMeasures(summary);
  const words = { throughput: throughputWords, drop: dropWords, error: errorWords };
  const latencies = shown.filter((measure) => words[measure.key] === undefined);
  const others = shown.filter((measure) => words[measure.key] !== undefined);
  return `<h2 id="load">Offered load, lane by lane</h2>
${legend(summary, summary.settings.lanes, shown)}
<div class="pair">${latencies.map((measure) => figure(summary, measure)).join('')}</div>
${others.map((measure) => `<div class="pair">${figure(summary, measure)}` +
    `<section class="card words">${words[measure.key](summary)}</section></div>`).join('\n')}`;
}

/** What became of the accepted tasks: three charts, the words that explain them, and the table. */
function books(summary) {
  const steps = bookedSteps(summary);
  if (steps.length === 0) {
    return '';
  }
  const [p50, p95, drain] = bookMeasures.map((measure) => figure(summary, measure));
  const lanesShown = summary.settings.lanes.filter((lane) => lanes[lane].queued);
  return `<h2 id="books">The books: what became of the accepted tasks</h2>
${legend(summary, lanesShown, bookMeasures)}
<div class="pair">${p50}${p95}</div>
<div class="pair">${drain}<section class="card words">${booksWords(summary)}</section></div>
<div class="card">${table('The books of every step', bookColumns(summary), steps, nextRate)}</div>`;
}

/** The lanes' colours, and what stands beside the bars of these measures. */
function legend(summary, names, measures) {
  const beside = (kind) => measures.some((measure) => anyBeside(summary, measure, kind));
  const entries = [
    ...names.map((lane) => `<span><i style="--lane:var(--lane-${lane})"></i>${escape(lane)}</span>`),
    ...(measures !== bookMeasures && anyPublished(summary) ? ['<span><i class="dash"></i>published figure</span>'] : []),
    ...(beside('prediction') ? ['<span><i class="diamond"></i>predicted</span>'] : []),
    ...(beside('baseline') ? [`<span><i class="frame"></i>baseline ${escape(summary.comparison.baseline)}</span>`] : []),
  ];
  return `<div class="legend">${entries.join('')}<span class="hint">Point at or touch a chart, or press Tab, for its figures.</span></div>`;
}

function figure(summary, measure) {
  const title = escape(chartTitle(summary, measure));
  const beside = measure.key === 'drop' && summary.settings.lanes.length > 1; // Its words take more room then.
  const height = beside ? chart.tall : chart.height;
  const where = bookMeasures.includes(measure) ? 'the table of books' : 'the table of steps';
  return `<figure class="card chart"><h3>${title}</h3>` +
    `<div class="plot" data-measure="${measure.key}" data-label="${title}" data-readings="${escape(JSON.stringify(readings(summary, measure, chart.width)))}">` +
    `<svg viewBox="0 0 ${chart.width} ${height}" role="img" aria-label="${title}; the figures are in ${where}">` +
    `${barChart(summary, measure, chart.width, height)}</svg></div></figure>`;
}
