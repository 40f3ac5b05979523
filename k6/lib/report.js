// report.html: one file that needs no network, no script and no other file.

import { booksSentence } from './audit.js';
import { bookedSteps } from './books.js';
import { barChart } from './charts.js';
import { bookColumns, stepColumns } from './columns.js';
import * as format from './format.js';
import { topSteps } from './headline.js';
import { lanes } from './lanes.js';
import { escape, prose } from './markup.js';
import { bookMeasures } from './measures.js';
import { anyPublished } from './published.js';
import { chartTitle, conditions, shownMeasures } from './sheet.js';
import { styleSheet } from './style.js';
import { booksWords, errorWords, dropWords, throughputWords } from './words.js';

const chart = { width: 560, height: 310, tall: 430 };
const mark = '<svg width="26" height="20" viewBox="0 0 26 20" aria-hidden="true">' +
  '<rect class="lane-sync" y="2" width="26" height="6" rx="3"/>' +
  '<rect class="lane-async" y="12" width="26" height="6" rx="3"/></svg>';

/** Renders a summary as a page. */
export function report(summary) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Twinlane sweep ${escape(summary.run)}</title>
<style>${styleSheet()}</style>
</head>
<body>
<main>
${head(summary)}
${laneCards(summary)}
${charts(summary)}
${books(summary)}
<h2>Every step</h2>
<div class="card scroll">${stepsTable(stepColumns(summary), summary.steps)}</div>
<h2>The run</h2>
<div class="card">${facts(summary)}</div>
</main>
</body>
</html>
`;
}

function head(summary) {
  const verdict = summary.passed ? '<span class="verdict passed">passed</span>'
    : '<span class="verdict failed-run">failed</span>';
  const items = summary.findings.map((finding) => `<li class="${finding.level}">` +
    `<b>${finding.level === 'failure' ? 'Failure' : 'Note'}.</b> ${prose(finding.text)}</li>`);
  return `<header>
<div class="brand">${mark}<b>Twinlane</b><span>sweep report</span>${verdict}
<span class="when">${escape(summary.run)} · ${escape(format.moment(summary.started_at))}</span></div>
<h1>${prose(summary.headline)}</h1>
<p class="lede">${prose(`${sentence(conditions(summary))} ${booksSentence(summary)}`.trim())}</p>
${items.length === 0 ? '' : `<ul class="findings">${items.join('')}</ul>`}
</header>`;
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
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
  return `<h2>Offered load, lane by lane</h2>
${legend(summary)}
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
  return `<h2>The books: what became of the accepted tasks</h2>
${laneLegend(lanesShown)}
<div class="pair">${p50}${p95}</div>
<div class="pair">${drain}<section class="card words">${booksWords(summary)}</section></div>
<div class="card scroll">${stepsTable(bookColumns(summary), steps)}</div>`;
}

function laneLegend(names, others = []) {
  const entries = names.map((lane) => `<span><i style="--lane:var(--lane-${lane})"></i>${escape(lane)}</span>`);
  return `<div class="legend">${[...entries, ...others].join('')}</div>`;
}

function legend(summary) {
  return laneLegend(summary.settings.lanes, anyPublished(summary) ? ['<span><i class="dash"></i>published figure</span>'] : []);
}

function figure(summary, measure) {
  const title = escape(chartTitle(summary, measure));
  const beside = measure.key === 'drop' && summary.settings.lanes.length > 1; // Its words take more room then.
  const height = beside ? chart.tall : chart.height;
  return `<figure class="card chart"><h3>${title}</h3>` +
    `<svg viewBox="0 0 ${chart.width} ${height}" role="img" aria-label="${title}; the figures are in the table of steps">` +
    `${barChart(summary, measure, chart.width, height)}</svg></figure>`;
}

function stepsTable(columns, steps) {
  const heads = columns.map((column) => `<th scope="col"${column.left ? ' class="left"' : ''}>${escape(column.title)}</th>`);
  const rows = steps.map((step, i) => {
    const cells = columns.map((column) => {
      const chip = column.title === 'lane' ? `<span class="chip" style="--lane:var(--lane-${step.lane})"></span>` : '';
      return `<td${column.left ? ' class="left"' : ''}>${chip}${escape(column.text(step))}</td>`;
    });
    const first = i > 0 && steps[i - 1].rps !== step.rps;
    return `<tr${first ? ' class="first"' : ''}>${cells.join('')}</tr>`;
  });
  return `<table><thead><tr>${heads.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** Settings and environment; what is not known is left out. */
function facts(summary) {
  const { settings, environment } = summary;
  const known = [
    ['preset', settings.preset],
    ['gateway', settings.gateway_url],
    ['payload', settings.payload_bytes === 0 ? 'none' : `${format.count(settings.payload_bytes)} bytes`],
    ['VUs', settings.vus === 'auto' ? 'auto' : `${settings.vus_preallocated} at first, at most ${settings.vus}`],
    ['gap between steps', format.span(settings.gap_seconds)],
    ['started', format.moment(summary.started_at)],
    ['finished', format.moment(summary.finished_at)],
    ['k6', environment.k6],
    ['commit', environment.commit],
    ['processors', environment.host_cpus],
    ['Go', environment.go],
    ['RabbitMQ', environment.rabbitmq],
    ['publish strategy', environment.publish_strategy],
  ].filter(([, value]) => value !== null);
  const entries = known.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${escape(value)}</dd></div>`);
  return `<dl class="facts">${entries.join('')}</dl><p class="again">Run it again: <code>${escape(command(settings))}</code></p>`;
}

function command(settings) {
  const vus = settings.vus === 'auto' ? 'VUS=auto' : `VUS=${settings.vus} VUS_PRE=${settings.vus_preallocated}`;
  return `PRESET=${settings.preset} RPS=${settings.rates_rps.join(',')} LANES=${settings.lanes.join(',')} ` +
    `DURATION=${settings.step_seconds} GAP=${settings.gap_seconds} ${vus} ACTION=${settings.action} ` +
    `TASK_MS=${settings.task_ms} PAYLOAD_BYTES=${settings.payload_bytes} ${bookSettings(settings)}GATEWAY_URL=${shellWord(settings.gateway_url)} k6/run`;
}

/** A run without lanes that go through the queue has no books in any case. */
function bookSettings(settings) {
  if (!settings.lanes.some((lane) => lanes[lane].queued)) {
    return '';
  }
  return settings.books ? `BOOKS_TIMEOUT=${settings.books_timeout_seconds} ` : 'BOOKS=off ';
}

function shellWord(text) {
  return /^[A-Za-z0-9_.,:/@%+-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}
