// The colours of the report and of the charts, on light and on dark ground. Text keeps a contrast of 4.5 to 1.

import { laneNames, lanes } from './lanes.js';

const ground = {
  light: {
    page: '#f5f6f8', card: '#ffffff', ink: '#171c24', muted: '#566070', line: '#d9dee6', grid: '#e8ecf1',
    good: '#12703f', bad: '#b3261e', note: '#7d5200', soft: '#eef1f5', link: '#1d56b0',
  },
  dark: {
    page: '#0d1117', card: '#151b23', ink: '#e9edf3', muted: '#a2adbb', line: '#303946', grid: '#252d38',
    good: '#5fd08f', bad: '#ff9488', note: '#e5b85c', soft: '#1d2530', link: '#8ab8ff',
  },
};

/** All colours by name for a mode, `light` or `dark`; a lane's colour is called `lane-<name>`. */
export function palette(mode) {
  const colours = Object.assign({}, ground[mode]);
  for (const name of laneNames) {
    colours[`lane-${name}`] = lanes[name].colour[mode];
  }
  return colours;
}

/** The typeface of everything: whatever the reader's system reads best. */
export const typeface = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** CSS of the parts that charts are made of. `colour` turns a colour's name into its CSS value. */
export function chartStyle(colour) {
  const laneRules = laneNames.map((name) => `.lane-${name}{fill:${colour(`lane-${name}`)}}`);
  return [
    `.tick{fill:${colour('muted')};font-size:11.5px}`,
    `.value{fill:${colour('ink')};font-size:11px;text-anchor:middle}`,
    `.grid{stroke:${colour('grid')};stroke-width:1}`,
    `.axis{stroke:${colour('muted')};stroke-width:1}`,
    `.reference{stroke:${colour('ink')};stroke-width:1.5;stroke-opacity:.6;stroke-dasharray:3 2}`,
    '.failed{fill-opacity:.35}',
    `.baseline{fill:none;stroke:${colour('ink')};stroke-width:1.5}`,
    `.predicted{fill:${colour('card')};stroke:${colour('ink')};stroke-width:1.5}`,
    '.start{text-anchor:start}.end{text-anchor:end}.middle{text-anchor:middle}',
    ...laneRules,
  ].join('\n');
}
