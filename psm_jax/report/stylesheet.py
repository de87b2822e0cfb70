"""The page's style sheet. It loads nothing."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1f2328; --soft: #57606a; --line: #d8dee4;
  --tint: #f6f8fa; --accent: #0060a0; --bad: #b04300; --bad-tint: #fff4ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e6e9ed; --soft: #a3acb6; --line: #363c44;
    --tint: #1d2127; --accent: #6cb6f0; --bad: #ff9a5c; --bad-tint: #2c2018;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
    "Liberation Sans", "Helvetica Neue", Arial, sans-serif;
}
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2.25rem; }
p, li, dd, .lead { max-width: 46rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 {
  font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .75rem;
  padding-top: .9rem; border-top: 2px solid var(--ink);
}
h3 { font-size: 1.02rem; margin: 1.9rem 0 .4rem; }
h1, p, summary, li, dd, dt, figcaption, .text { overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible,
input:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px;
}
code { font-size: .9em; background: var(--tint); padding: .1em .3em;
  border-radius: 3px; overflow-wrap: anywhere; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
.about, .soft, figcaption, caption, .interval { color: var(--soft); }
.about { margin: 0; max-width: none; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem;
  padding: 0; margin: 1rem 0 0; font-size: .92rem; max-width: none; }
.facts { display: grid; gap: 1px; margin: 1.4rem 0;
  border: 1px solid var(--line); border-radius: 6px; overflow: hidden;
  grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); }
.facts div { box-shadow: 0 0 0 1px var(--line); padding: .7rem .9rem; }
.facts dt { font-size: .84rem; color: var(--soft); }
.facts dd { margin: 0; }
.facts .value { font-size: 1.45rem; line-height: 1.3; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.facts .detail { font-size: .84rem; color: var(--soft); }
.lead { font-size: 1.06rem; }
.warning { background: var(--bad-tint); border-left: 4px solid var(--bad);
  padding: .6rem .9rem; margin: .6rem 0; max-width: none; }
.notice { background: var(--tint); border-left: 4px solid var(--soft);
  padding: .6rem .9rem; margin: .8rem 0; max-width: none; }
.badge { font-size: .74rem; font-weight: 600; border: 1px solid var(--accent);
  color: var(--accent); border-radius: 3px; padding: 0 .3em; }
.bad { color: var(--bad); font-weight: 600; }
.scroll { overflow: auto; max-height: 90vh; margin: .9rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.35;
  min-width: 100%; }
caption { text-align: left; padding: 0 0 .5rem; font-size: .88rem; }
caption span { display: inline-block; position: sticky; left: 0;
  max-width: min(46rem, calc(100vw - 2.4rem)); }
tbody th:first-child { position: sticky; left: 0; background: var(--paper); }
th, td { padding: .32rem .5rem; text-align: left; vertical-align: top; }
.name { white-space: nowrap; }
.text { min-width: 14rem; }
thead { position: sticky; top: 0; z-index: 1; background: var(--paper); }
thead th { vertical-align: bottom; font-weight: 600; }
thead th.number { white-space: normal; }
thead tr:last-child { border-bottom: 1.5px solid var(--ink); }
thead th[scope=colgroup] { border-bottom: 1px solid var(--line); }
tbody th { font-weight: 500; }
tbody tr { border-bottom: 1px solid var(--line); }
tbody + tbody { border-top: 1.5px solid var(--soft); }
th[scope=rowgroup] { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.interval { display: block; font-size: .88em; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .8rem 0;
  padding: 0 .9rem; }
summary { cursor: pointer; padding: .55rem 0; font-weight: 500; }
details > .scroll { margin-top: .2rem; }
.figures { display: grid; gap: 1.2rem; grid-template-columns: 1fr; }
.figures > * { min-width: 0; }
figure { margin: 1rem 0; }
figure .scroll { background: #ffffff; border-radius: 6px; max-height: none;
  margin: 0; border: 1px solid var(--line); padding: .5rem; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: .88rem; margin-top: .45rem; max-width: 46rem; }
.ring { position: absolute; width: 20px; height: 20px; margin: -10px 0 0 -10px;
  border: 3px solid #24292f; border-radius: 50%; box-shadow: 0 0 0 2px #ffffff;
  pointer-events: none; }
.map label { display: flex; align-items: center; gap: .6rem;
  font-size: .88rem; }
.map input { flex: 1; max-width: 40rem; accent-color: var(--accent); }
.readout { min-height: 1.6em; margin: .2rem 0 1.6rem; font-weight: 500;
  font-variant-numeric: tabular-nums; }
dl.words { columns: 27rem 2; column-gap: 2.2rem; font-size: .95rem; }
dl.words div { break-inside: avoid; padding-bottom: .8rem; }
dl.words dt { font-weight: 600; }
dl.words dd { margin: 0; }
footer { margin: 3rem auto 2rem; font-size: .85rem; color: var(--soft); }
@media (min-width: 46rem) {
  .figures { grid-template-columns: 1fr 1fr; }
  .figures > .wide { grid-column: 1 / -1; }
}
@media (max-width: 46rem) {
  header { padding-top: 1.25rem; }
  h1 { font-size: 1.5rem; }
  h2 { margin-top: 2.2rem; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444;
    --line: #ccc; --tint: #f6f6f6; --accent: #000; --bad: #8a3500;
    --bad-tint: #fff; }
  @page { margin: 14mm 12mm; }
  body { font-size: 10pt; }
  nav, .skip, .map label, .readout, .ring { display: none; }
  header, main, footer { max-width: none; padding: 0; }
  .scroll { overflow: visible; max-height: none; }
  figure img { min-width: 0 !important; }
  details::details-content { content-visibility: visible; block-size: auto; }
  table { font-size: 6.8pt; }
  th, td { padding: .14rem .22rem; }
  .lead { font-size: 10.5pt; }
  .figures { grid-template-columns: 1fr 1fr; }
  .figures > .wide { grid-column: 1 / -1; }
  figure, tr, .warning, .notice, .facts { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
