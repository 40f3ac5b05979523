// Bar charts as SVG: at each rate one bar a lane.

import { count } from './format.js';
import { at, escape } from './markup.js';
import { baselineValue } from './overlay.js';
import { publishedRange } from './published.js';

const margin = { left: 50, right: 6, top: 20, bottom: 44 };

/**
 * Draws one measure (see measures.js) of a summary as the content of an SVG element of this width and height. Bars
 * carry their value as a tooltip, and as a label where there is room. Beside them stand other figures for the same:
 * dashed lines are published, diamonds predicted, and frames those of the baseline.
 */
export function barChart(summary, measure, width, height) {
  const { steps, lanesShown, rates, group, plot } = frame(summary, measure, width, height);
  const axis = makeAxis(summary, measure);
  const pitch = Math.min(44, (group * 0.82) / lanesShown.length);
  const context = { summary, measure, plot, axis, pitch };

  const bars = [];
  rates.forEach((rps, i) => {
    lanesShown.forEach((lane, k) => {
      const step = steps.find((candidate) => candidate.rps === rps && candidate.lane === lane);
      if (step !== undefined) {
        bars.push(layOut(context, step, (i + 0.5) * group + (k - (lanesShown.length - 1) / 2) * pitch));
      }
    });
  });
  const parts = [grid(plot, axis), ...bars.map((bar) => drawBar(context, bar)), labels(bars), rateLabels(rates, group, plot)];
  const remark = summary.steps.length === 0 ? 'nothing was measured'
    : summary.steps.every((step) => measure.value(step) === 0) ? measure.nothing : undefined;
  if (remark !== undefined) {
    parts.push(`<text class="tick middle" x="${at(plot.width / 2)}" y="${at(plot.height / 2)}">${escape(remark)}</text>`);
  }
  return `<g transform="translate(${margin.left} ${margin.top})">${parts.join('')}</g>`;
}

/**
 * What a chart of this width says at each rate, for readers who point at it: `{ from, to, rate, rows }`, of which the edges
 * are shares of the chart's width, and a row is `{ lane, text, others }`.
 */
export function readings(summary, measure, width) {
  const { steps, lanesShown, rates, group } = frame(summary, measure, width, 0);
  return rates.map((rps, i) => ({
    from: (margin.left + i * group) / width,
    to: (margin.left + (i + 1) * group) / width,
    rate: `${count(rps)} requests a second`,
    rows: lanesShown
      .map((lane) => steps.find((step) => step.rps === rps && step.lane === lane))
      .filter((step) => step !== undefined)
      .map((step) => ({ lane: step.lane, text: measure.text(step), others: others(summary, measure, step) })),
  }));
}

/** Whether any bar of a chart has a figure of this kind beside it: a `prediction` or a figure of the `baseline`. */
export function anyBeside(summary, measure, kind) {
  const find = { prediction: (step) => predicted(measure, step), baseline: (step) => baselineValue(summary, measure, step) }[kind];
  return summary.steps.some((step) => find(step) !== null);
}

function others(summary, measure, step) {
  const range = publishedRange(summary.settings, measure.key, step);
  const found = [
    ['predicted', predicted(measure, step)],
    ['baseline', baselineValue(summary, measure, step)],
  ].filter(([, value]) => value !== null).map(([name, value]) => `${name} ${measure.reference(value)}`);
  return range === null ? found : [...found, publishedWords(range, measure)];
}

function predicted(measure, step) {
  return measure.predicted === undefined ? null : measure.predicted(step);
}

function publishedWords(range, measure) {
  return `published ${[...new Set(range)].map(measure.reference).join(' to ')}`;
}

/** What is drawn, and how wide each rate's group is. */
function frame(summary, measure, width, height) {
  const steps = summary.steps.filter((step) => measure.has === undefined || measure.has(step));
  const lanesShown = summary.settings.lanes.filter((lane) => steps.some((step) => step.lane === lane));
  const rates = [...new Set(steps.map((step) => step.rps))];
  const plot = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  return { steps, lanesShown, rates, plot, group: plot.width / Math.max(1, rates.length) };
}

/** The scale of the vertical axis: its unit, its ticks and the value at its top, all in the unit. */
function makeAxis(summary, measure) {
  const highest = highestValue(summary, measure);
  const { unit, factor, top } = measure.scale(highest);
  const stride = tickStride((top || highest * factor) / 4);
  const end = top || Math.max(stride, Math.ceil((highest * factor) / stride - 0.02) * stride);
  const ticks = [];
  for (let tick = 0; tick <= end + stride / 1000; tick += stride) {
    ticks.push(tick);
  }
  return { unit, factor, ticks, top: Math.max(end, highest * factor) };
}

/** The highest value that a chart has to have room for, with what is predicted and that of the baseline. */
export function highestValue(summary, measure) {
  return Math.max(0, ...summary.steps.flatMap((step) => (
    [measure.value(step), predicted(measure, step), baselineValue(summary, measure, step)].map((value) => value || 0))));
}

/** The next round number, 1, 2, 2.5 or 5 times a power of ten, at or only just below a stride. */
function tickStride(least) {
  if (least <= 0) {
    return 1;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((stride) => stride >= least * 0.97);
}

function grid(plot, axis) {
  const lines = axis.ticks.map((tick) => {
    const y = at(plot.height * (1 - tick / axis.top));
    return `<line class="${tick === 0 ? 'axis' : 'grid'}" x1="0" x2="${at(plot.width)}" y1="${y}" y2="${y}"/>` +
      `<text class="tick end" x="-7" y="${y}" dy="4">${tickLabel(tick)}</text>`;
  });
  return lines.join('');
}

/** Where a step's bar stands: its edges, its top and the room that its label would take. */
function layOut({ summary, measure, plot, axis, pitch }, step, middle) {
  const value = measure.value(step);
  const width = pitch * 0.88;
  const top = plot.height - heightOf(value || 0, plot, axis);
  const text = value === null ? '–' : label(value * axis.factor);
  const half = (text.replace('&lt;', '<').length * 6.2) / 2;
  const beside = [predicted(measure, step), baselineValue(summary, measure, step)]
    .filter((other) => other !== null).map((other) => plot.height - heightOf(other, plot, axis) - 4);
  return {
    step, value, middle, width, top, text,
    left: middle - width / 2,
    right: middle + width / 2,
    label: { left: middle - half, right: middle + half, base: Math.min(top, ...beside.filter((y) => Math.abs(y - top) < 18)) - 6 },
  };
}

/** One bar with its tooltip and what stands beside it. Answers that were no good are a paler part of it. */
function drawBar({ summary, measure, plot, axis, pitch }, { step, value, middle, width, top }) {
  const parts = [`<title>${escape(`${step.lane} at ${count(step.rps)}/s: ${measure.text(step)}`)}</title>`];
  const good = measure.good === undefined ? value : measure.good(step);
  if (good !== value) {
    parts.push(rectangle(`lane-${step.lane} failed`, middle, width, plot.height - top, plot));
  }
  parts.push(rectangle(`lane-${step.lane}`, middle, width, heightOf(good || 0, plot, axis), plot));
  const before = baselineValue(summary, measure, step);
  if (before !== null) {
    parts.push(rectangle('baseline', middle, width + 4, heightOf(before, plot, axis), plot));
  }
  const expected = predicted(measure, step);
  if (expected !== null) {
    parts.push(diamond(middle, plot.height - Math.min(1, (expected * axis.factor) / axis.top) * plot.height));
  }
  const range = publishedRange(summary.settings, measure.key, step);
  return `<g data-step="${escape(step.name)}">${parts.join('')}</g>${range === null ? '' : reference(range, measure, plot, axis, middle, pitch)}`;
}

function diamond(x, y) {
  return `<path class="predicted" d="M${at(x)} ${at(y - 5)}l5 5l-5 5l-5 -5z"/>`;
}

/** The labels of the bars. One that would lie on another bar or label is left out: the tooltip has it. */
function labels(bars) {
  const shown = [];
  for (const bar of bars) {
    const apart = (box) => box.right <= bar.label.left || box.left >= bar.label.right;
    const onBar = bars.some((other) => other !== bar && !apart(other) && other.top < bar.label.base);
    const onLabel = shown.some((other) => !apart(other.label) && Math.abs(other.label.base - bar.label.base) < 11);
    if (!onBar && !onLabel) {
      shown.push(bar);
    }
  }
  return shown.map((bar) => `<text class="value" x="${at(bar.middle)}" y="${at(bar.label.base)}">${bar.text}</text>`).join('');
}

function heightOf(value, plot, axis) {
  const height = (plot.height * value * axis.factor) / axis.top;
  return value > 0 ? Math.max(2, height) : 0; // What is not nothing is always seen.
}

function rectangle(name, middle, width, height, plot) {
  if (height === 0) {
    return '';
  }
  const round = Math.min(2, height / 2);
  return `<rect class="${name}" x="${at(middle - width / 2)}" y="${at(plot.height - height)}" width="${at(width)}" ` +
    `height="${at(height)}" rx="${at(round)}"/>`;
}

/** A dashed line at each end of the published range; most ranges are a single figure. */
function reference(range, measure, plot, axis, middle, pitch) {
  const lines = [...new Set(range)].map((end) => {
    const y = at(plot.height - Math.min(1, (end * axis.factor) / axis.top) * plot.height);
    return `<line class="reference" x1="${at(middle - pitch / 2)}" x2="${at(middle + pitch / 2)}" y1="${y}" y2="${y}"/>`;
  });
  return `<g><title>${escape(publishedWords(range, measure))}</title>${lines.join('')}</g>`;
}

/** The rates below their groups; where they are too many, every second or third only. */
function rateLabels(rates, group, plot) {
  const every = Math.max(1, Math.ceil(38 / group));
  const labels = rates.map((rps, i) => (i % every === 0
    ? `<text class="tick middle" x="${at((i + 0.5) * group)}" y="${at(plot.height + 17)}">${count(rps)}</text>` : ''));
  return `${labels.join('')}<text class="tick middle" x="${at(plot.width / 2)}" y="${at(plot.height + 38)}">` +
    'requests offered a second</text>';
}

/** A bar's number in as few characters as it needs. */
function label(value) {
  if (value >= 9.95 || value === Math.round(value)) {
    return count(value);
  }
  return value < 0.05 ? '&lt;0.1' : value.toFixed(1);
}

/** A tick's number, which is round by itself. */
function tickLabel(value) {
  return value >= 1000 ? count(value) : String(Number(value.toFixed(3)));
}
