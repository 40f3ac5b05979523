// The part of the report that lays a run beside its baseline, and the same on the terminal.

import { change, comparisonSentence } from './compare.js';
import * as format from './format.js';
import { escape, prose } from './markup.js';
import { compared } from './measures.js';
import { nextRate, table } from './tables.js';

/** Heading, words and table; nothing for a run without a baseline. */
export function comparison({ comparison: found }) {
  if (found === null) {
    return '';
  }
  const origin = [format.moment(found.baseline_started_at), ...(found.baseline_commit === null ? [] : [`commit ${found.baseline_commit}`])];
  return `<h2 id="baseline">Against the baseline ${escape(found.baseline)}</h2>
<section class="card words"><p>${prose(comparisonSentence(found))}</p>
<p>${prose(`The baseline began ${origin.join(', ')}; the charts show it as frames around the bars. Each field has its figure, this run’s and the ` +
    'difference, and says where that is more than the tolerance.')}</p>
${found.steps.length === 0 ? '' : table('Differences from the baseline', columns(found, values, verdict), found.steps, nextRate)}</section>`;
}

/**
 * The columns of the steps of a comparison: one for each measure of which both runs have a figure anywhere. `text` and
 * `detail` make the lines of a cell of a measure and its figures.
 */
function columns(found, text, detail) {
  const shown = compared.filter((measure) => found.steps.some((step) => figureOf(measure, step).verdict !== null));
  return [
    { title: 'rps', text: (step) => format.count(step.rps) },
    { title: 'lane', text: (step) => step.lane, left: true },
    ...shown.map((measure) => ({
      title: measure.title,
      text: (step) => text(measure, figureOf(measure, step)),
      detail: (step) => detail(measure, figureOf(measure, step)),
      mark: (step) => figureOf(measure, step).verdict || '',
    })),
  ];
}

function figureOf(measure, step) {
  return step.figures.find(({ figure }) => figure === measure.key);
}

function values(measure, { baseline, value, verdict: known }) {
  return known === null ? '–' : `${measure.reference(baseline)} → ${measure.reference(value)}`;
}

function verdict(measure, figure) {
  const beyond = figure.verdict === 'worse' || figure.verdict === 'better';
  return figure.verdict === null ? '' : `${change(measure, figure)}${beyond ? ` ${figure.verdict}` : ''}`;
}

/** The lines of a comparison on the terminal: a table of the differences, in which ! is worse and + better, and those in full. */
export function comparisonLines(found, layOut) {
  const marks = { worse: ' !', better: ' +' };
  const table = found.steps.length === 0 ? []
    : [...layOut(columns(found, (measure, figure) => change(measure, figure) + (marks[figure.verdict] || ''), () => ''), found.steps), ''];
  const beyond = found.steps.flatMap((step) => compared.map((measure) => [step, measure, figureOf(measure, step)]))
    .filter(([, , { verdict }]) => verdict === 'worse' || verdict === 'better')
    .map(([step, measure, figure]) => `${figure.verdict.padEnd(6)} ${step.name} ${measure.title}: ${values(measure, figure)} (${change(measure, figure)})`);
  return [
    ...table,
    ...beyond,
    ...(beyond.length === 0 ? [] : ['']),
    ...(found.worse === 0 && found.steps.length > 0 ? [comparisonSentence(found)] : []), // Else it is a finding.
  ];
}
