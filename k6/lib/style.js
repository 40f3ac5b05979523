// The report's style sheet.

import { chartStyle, palette, typeface } from './theme.js';

/** The whole style sheet: colours for light and dark (paper is always light), then layout. */
export function styleSheet() {
  return `
:root{color-scheme:light dark;${variables('light')}}
@media screen and (prefers-color-scheme:dark){:root{${variables('dark')}}}
${chartStyle((name) => `var(--${name})`)}
${layout}`;
}

function variables(mode) {
  const colours = palette(mode);
  return Object.keys(colours).map((name) => `--${name}:${colours[name]}`).join(';');
}

const layout = `
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 ${typeface};-webkit-text-size-adjust:100%}
main{max-width:1180px;margin:0 auto;padding:36px 24px 56px}
h1,h2,h3,p,dl,dd,figure{margin:0}
h1{font-size:clamp(23px,2.6vw,32px);line-height:1.28;font-weight:650;letter-spacing:-.012em;max-width:38em;text-wrap:balance}
h2{font-size:19px;font-weight:650;margin:44px 0 14px}
h3{font-size:15px;font-weight:600;margin-bottom:8px}
.brand{display:flex;flex-wrap:wrap;gap:6px 12px;align-items:center;margin-bottom:26px;color:var(--muted);font-size:14px}
.brand b{color:var(--ink);font-size:17px;letter-spacing:-.01em}
.brand svg{display:block}
.brand .when{margin-left:auto}
.lede{margin-top:14px;max-width:62em}
.asked{color:var(--muted);margin-top:8px}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin-top:22px;font-size:14px}
nav .files{display:inline-flex;flex-wrap:wrap;gap:6px 18px;margin-left:auto}
a{color:var(--link);text-underline-offset:3px;text-decoration-thickness:1px}
a:hover{text-decoration-thickness:2px}
:focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:6px}
h2{scroll-margin-top:16px}
.verdict{padding:1px 10px;border-radius:99px;border:1px solid currentColor;font-size:13px;font-weight:600}
.passed{color:var(--good)}.failed-run{color:var(--bad)}
.findings{list-style:none;margin:20px 0 0;padding:0;display:grid;gap:8px}
.findings li{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--note);border-radius:8px;padding:9px 14px}
.findings li.failure{border-left-color:var(--bad)}
.findings b{color:var(--note)}.findings .failure b{color:var(--bad)}
.lanes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:18px;margin-top:30px}
.lane{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 20px 18px;border-top:4px solid var(--lane)}
.lane:only-child{max-width:560px}
.lane h3{font-size:14px;color:var(--muted);font-weight:500;margin-bottom:10px}
.lane h3 b{color:var(--ink);font-weight:650;font-size:16px}
.figures{display:flex;flex-wrap:wrap;justify-content:space-between;gap:10px 16px}
.figures div{display:flex;flex-direction:column-reverse}
.figures dd{font-size:23px;line-height:1.2;font-weight:620;letter-spacing:-.015em;white-space:nowrap;font-variant-numeric:tabular-nums}
.lanes:has(>:nth-child(3)) dd{font-size:19px}.lanes:has(>:nth-child(3)) .figures{gap:10px 12px}
.figures dt{font-size:13px;color:var(--muted)}
.legend{display:flex;flex-wrap:wrap;gap:6px 20px;font-size:14px;color:var(--muted);margin:0 0 12px}
.legend span{display:inline-flex;align-items:center;gap:7px}
.legend i{width:12px;height:12px;border-radius:3px;background:var(--lane)}
.legend i.diamond{width:9px;height:9px;border-radius:0;background:none;border:1.5px solid var(--ink);transform:rotate(45deg)}
.legend i.frame{border-radius:2px;background:none;border:1.5px solid var(--ink)}
.legend .hint{margin-left:auto;font-size:13px}
.legend i.dash{width:20px;height:0;border-radius:0;background:none;border-top:2px dashed var(--muted)}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:18px;margin-bottom:18px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px}
.chart svg{display:block;width:100%;height:auto;overflow:visible}
.plot{position:relative;touch-action:pan-y;cursor:crosshair}
.plot:focus{outline:none}.plot:focus-visible{outline:2px solid var(--link);outline-offset:4px;border-radius:8px}
.band,.tip{display:none;position:absolute;pointer-events:none}
.read>.band,.read>.tip{display:block}
.band{top:0;bottom:14%;background:var(--ink);opacity:.07;border-radius:6px}
.tip{top:2px;z-index:1;max-width:calc(100% - 4px);background:var(--card);border:1px solid var(--muted);border-radius:8px;padding:7px 11px 8px;
box-shadow:0 4px 16px rgb(0 0 0/.18);font-size:13px;line-height:1.5;white-space:nowrap;font-variant-numeric:tabular-nums}
.tip>b{font-weight:500;color:var(--muted)}.tip .line,.tip small{display:block}.tip .line b{font-weight:650}
.tip small{padding-left:17px;font-size:12px;color:var(--muted)}
.words p{margin-bottom:10px;color:var(--muted)}
.words p:first-of-type{color:var(--ink)}
.words p:last-child{margin-bottom:0}
.words p b{color:var(--ink);font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;white-space:nowrap;border-top:1px solid var(--grid)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:13px;vertical-align:bottom}
.words thead th{white-space:normal}
tbody tr.first td{border-top-color:var(--line)}
td.left,th.left{text-align:left}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
.chip{display:inline-block;width:10px;height:10px;border-radius:3px;background:var(--lane);margin-right:7px}
td small{display:block;font-size:12px;font-weight:400;color:var(--muted)}
td.worse small,td.better small{color:inherit;font-weight:600}
td.worse{color:var(--bad)}td.better{color:var(--good)}
.words table{margin:12px 0 0;font-size:13px}.words th,.words td{padding:3px 5px}
.words tbody th{font-weight:400;color:var(--muted)}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:12px 22px;font-size:14px;margin-bottom:20px}
.facts dt{color:var(--muted);font-size:13px}.facts dd{overflow-wrap:anywhere}
code{font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--soft);border-radius:5px;padding:2px 6px;overflow-wrap:anywhere}
.again{margin-top:16px;font-size:14px;color:var(--muted)}
@media (max-width:820px){.pair{grid-template-columns:minmax(0,1fr)}}
@media (max-width:560px){
main{padding:22px 14px 40px}.legend .hint,nav .files{margin-left:0}.card,.lane{padding:14px}.brand .when{margin-left:0;width:100%}
.figures{display:grid;grid-template-columns:repeat(2,1fr)}
.chart .value{display:none}.chart .tick{font-size:16.5px}
}
@media print{
:root{color-scheme:light}body{font-size:10.5pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}
main{max-width:none;padding:0}h1{font-size:19pt}h2{break-after:avoid}.card,.lane,.findings li,tr{break-inside:avoid}
.card.scroll{break-inside:auto}.scroll{overflow:visible}
.lanes,.pair{grid-template-columns:repeat(2,minmax(0,1fr))}.figures{gap:6px 10px}.figures dd{font-size:12.5pt}
nav,.legend .hint,.band,.tip,.again{display:none}td:nth-child(2){white-space:nowrap}table{font-size:7.5pt}th,td{padding:2px 4px}.words table{font-size:7.5pt}td,th{white-space:normal}.words th,.words td{padding:2px 3px}thead th{font-size:inherit}
}
`;
