// What a run says on the terminal: a line as each step begins, and at its end the table of the report.

import { booksSentence } from './audit.js';
import { bookedSteps } from './books.js';
import { bookColumns, stepColumns } from './columns.js';
import { comparisonLines } from './comparison.js';
import * as format from './format.js';

/** The line with which a run begins. */
export function openingLine(run, steps, settings) {
  return `Run ${run} against ${settings.gatewayUrl}: ${format.plural(steps.length, 'step')} of ${format.span(settings.duration)}`;
}

/** The line that announces a step, with how many there are and how long the rest of the run takes. */
export function stepLine(steps, step, settings) {
  const all = String(steps.length);
  const number = String(steps.indexOf(step) + 1).padStart(all.length);
  const last = steps[steps.length - 1];
  const left = last.startsAt + last.seconds + settings.gap - step.startsAt;
  return `[${number}/${all}] ${step.lane} at ${format.rate(step.rps)}, ${format.span(left)} left`;
}

/** The line that says that a run waits for work which is left over, or may be where the gateway cannot know (`sure`). */
export function openLine(step, secondsLeft, sure) {
  return `Tasks of ${step.name} ${sure ? 'are still' : 'may still be'} open: waiting for their outcome, ${format.span(Math.max(0, secondsLeft))} at most`;
}

/** Everything that a run prints at its end: headline, table, books, findings. */
export function terminalReport(summary) {
  const lines = [
    '',
    summary.headline,
    '',
    ...table(stepColumns(summary), summary.steps),
    '',
    ...booksReport(summary),
    ...comparisonReport(summary),
    ...summary.findings.map(findingLine),
    `Run ${summary.run}, ${format.plural(summary.steps.length, 'step')}: ${summary.passed ? 'passed' : 'FAILED'}.`,
    '',
  ];
  return `${lines.join('\n')}\n`;
}

function booksReport(summary) {
  const steps = bookedSteps(summary);
  const sentence = booksSentence(summary);
  return steps.length === 0 ? [] : [...table(bookColumns(summary), steps), '', ...(sentence === '' ? [] : [sentence, ''])];
}

/** A finding as a line. */
export function findingLine({ level, text }) {
  return `${level === 'failure' ? 'FAILED' : 'note'}: ${text}`;
}

/** What a run says of its baseline: nothing where it has none. */
export function comparisonReport({ comparison }) {
  return comparison === null ? [] : [...comparisonLines(comparison, table), ''];
}

/** Lays out columns (see columns.js) as lines of text, aligned to the right but for names. */
function table(columns, steps) {
  const rows = [columns.map((column) => column.title), ...steps.map((step) => columns.map((column) => column.text(step)))];
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  const lines = rows.map((row) => row.map((text, i) => (
    columns[i].left ? text.padEnd(widths[i]) : text.padStart(widths[i])
  )).join('  ').trimEnd());
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return lines;
}
