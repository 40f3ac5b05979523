// Tables of a report as HTML.

import { escape } from './markup.js';

/**
 * A table that scrolls on its own where it does not fit, also by keyboard. Columns are `{ title, text(row), left }` as in
 * columns.js, and may have `detail(row)`, a second line, and `mark(row)`, the cell's class. `first` says of a row and the one before it whether a new group begins.
 */
export function table(label, columns, rows, first = () => false) {
  const heads = columns.map((column) => `<th scope="col"${column.left ? ' class="left"' : ''}>${escape(column.title)}</th>`);
  const lines = rows.map((row, i) => {
    const cells = columns.map((column) => {
      const classes = [...(column.left ? ['left'] : []), ...(column.mark === undefined ? [] : [column.mark(row)])].filter((name) => name !== '');
      const chip = column.title === 'lane' ? `<span class="chip" style="--lane:var(--lane-${row.lane})"></span>` : '';
      const detail = column.detail === undefined ? '' : column.detail(row);
      return `<td${classes.length === 0 ? '' : ` class="${classes.join(' ')}"`}>${chip}${escape(column.text(row))}` +
        `${detail === '' ? '' : `<small>${escape(detail)}</small>`}</td>`;
    });
    return `<tr${i > 0 && first(row, rows[i - 1]) ? ' class="first"' : ''}>${cells.join('')}</tr>`;
  });
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escape(label)}"><table><thead><tr>${heads.join('')}</tr></thead>` +
    `<tbody>${lines.join('')}</tbody></table></div>`;
}

/** Whether a step has another rate than the one before it. */
export function nextRate(step, before) {
  return step.rps !== before.rps;
}
