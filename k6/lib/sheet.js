// chart.svg: the four charts on one sheet, for a README. The sheet brings its own ground, light or dark as the reader's
// system is, so that it can be read on any page.

import { takesItsTime } from './actions.js';
import { barChart, highestValue } from './charts.js';
import * as format from './format.js';
import { escape } from './markup.js';
import { errorMeasure, measures } from './measures.js';
import { anyPublished } from './published.js';
import { chartStyle, palette, typeface } from './theme.js';

const width = 1040;
const edge = 28;
const top = 104;
const panel = { width: (width - 3 * edge) / 2, height: 300, title: 26 };

/** The charts that a run has: the four published ones, and the error rate where there were errors. */
export function shownMeasures(summary) {
  return summary.steps.some((step) => step.error_share > 0) ? [...measures, errorMeasure] : measures;
}

/** Draws the sheet of a summary as a whole SVG document. */
export function chartSheet(summary) {
  const shown = shownMeasures(summary);
  const height = top + Math.ceil(shown.length / 2) * (panel.height + edge) + 4;
  const panels = shown.map((measure, i) => {
    const x = edge + (i % 2) * (panel.width + edge);
    const y = top + Math.floor(i / 2) * (panel.height + edge);
    return `<g transform="translate(${x} ${y})"><text class="title" y="14">${escape(chartTitle(summary, measure))}</text>` +
      `<g transform="translate(0 ${panel.title})">` +
      `${barChart(summary, measure, panel.width, panel.height - panel.title)}</g></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `role="img" aria-labelledby="sheet-title sheet-text">` +
    `<title id="sheet-title">Twinlane sweep</title><desc id="sheet-text">${escape(summary.headline)}</desc>` +
    `<style>${sheetStyle()}</style>` +
    `<rect class="ground" width="${width}" height="${height}" rx="12"/>` +
    `<text class="heading" x="${edge}" y="42">${escape(sheetHeading(summary))}</text>` +
    `<text class="tick sub" x="${edge}" y="64">${escape(conditions(summary))}</text>` +
    `${legend(summary)}${panels.join('')}</svg>\n`;
}

/** A chart's title with the unit of its axis. */
export function chartTitle(summary, measure) {
  return `${measure.title}, ${measure.scale(highestValue(summary, measure)).unit}`;
}

/** What a run asked of the system, in one line. */
export function conditions({ settings }) {
  const vus = settings.vus === 'auto' ? 'as many VUs as needed' : `up to ${format.plural(settings.vus, 'VU')}`;
  const time = takesItsTime(settings.action) ? `, ${format.exactTime(settings.task_ms)} a task` : '';
  return `action ${settings.action}${time}, ${format.span(settings.step_seconds)} a step, ${vus}`;
}

function sheetHeading({ settings }) {
  const rates = settings.rates_rps;
  const span = rates.length === 1 ? format.count(rates[0])
    : `${format.count(rates[0])} to ${format.count(rates[rates.length - 1])}`;
  return `Twinlane: ${format.listing(settings.lanes)} at ${span} requests a second`;
}

function legend(summary) {
  let x = edge;
  const parts = summary.settings.lanes.map((lane) => {
    const entry = `<rect class="lane-${lane}" x="${x}" y="78" width="12" height="12" rx="2"/>` +
      `<text class="tick sub" x="${x + 18}" y="88.5">${escape(lane)}</text>`;
    x += 34 + lane.length * 7.5;
    return entry;
  });
  if (anyPublished(summary)) {
    parts.push(`<line class="reference" x1="${x}" x2="${x + 20}" y1="84" y2="84"/>` +
      `<text class="tick sub" x="${x + 26}" y="88.5">published figure</text>`);
  }
  return parts.join('');
}

/** Plain colours rather than CSS variables, which not every program that shows SVG understands. */
function sheetStyle() {
  const mode = (name) => {
    const colours = palette(name);
    return [
      `.ground{fill:${colours.card};stroke:${colours.line}}`,
      `.heading,.title{fill:${colours.ink};font-weight:600}`,
      chartStyle((colour) => colours[colour]),
    ].join('\n');
  };
  return `\ntext{font-family:${typeface}}\n${mode('light')}\n.heading{font-size:21px}.title{font-size:14px}.tick.sub{font-size:13px}\n` +
    `@media (prefers-color-scheme:dark){\n${mode('dark')}\n}\n`;
}
