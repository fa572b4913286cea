"""How the backtest's page looks: light and dark, from a phone's width up, without any request."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--paper:#fcfcfa;--ink:#1c2330;--soft:#5b6472;--line:#dcdfe4;--card:#fff;
--stable:#3568b8;--canary:#c77700;--bad:#c0272d;--good:#1f7a4d;--open:#8a6100;--release:#7a5cc433;
--gap:#88888866}
@media(prefers-color-scheme:dark){:root{--paper:#12151a;--ink:#e6e9ee;--soft:#9aa4b2;--line:#2c323b;
--card:#191d24;
--stable:#7fabf0;--canary:#f0b03f;--bad:#ff7b7b;--good:#58c490;--open:#e2b64d;--release:#a58bf040;
--gap:#99999955}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.05rem;font-weight:600;margin:0}
h2{font-size:1.2rem;margin:2.5rem 0 .4rem}
h3{font-size:1rem;margin:1.5rem 0 .25rem}
p{margin:.4rem 0}
.soft,small,figcaption{color:var(--soft)}
small,figcaption{font-size:.85rem}
.answer{border-left:4px solid var(--tone);padding:.2rem 0 .2rem 1rem;margin:1rem 0 1.2rem}
.answer p{font-size:1.1rem;margin:.5rem 0;max-width:52rem}
.tag{display:inline-block;padding:.05rem .6rem;border-radius:1rem;border:1px solid var(--tone);
color:var(--tone);
font-size:.85rem;font-weight:600;white-space:nowrap}
.kept{--tone:var(--good)}.broken{--tone:var(--bad)}.open{--tone:var(--open)}
figure{margin:.8rem 0 1.4rem}
figcaption{margin-top:.35rem}
svg{display:block;width:100%;overflow:visible}
svg path{fill:none;vector-effect:non-scaling-stroke}
.lane{border-bottom:1px solid var(--line);margin-top:.7rem}
.head{display:flex;justify-content:space-between;gap:1rem;font-size:.85rem}
.head span{color:var(--soft);white-space:nowrap}
.axis{position:relative;height:1.4rem;font-size:.78rem;color:var(--soft);margin-top:.15rem}
.axis span{position:absolute;white-space:nowrap;transform:translateX(-50%)}
.axis span.left{transform:none}.axis span.right{transform:translateX(-100%)}
.line{stroke-width:1.4;stroke-linejoin:round}.line.all,.line.stable{stroke:var(--stable)}
.line.canary{stroke:var(--canary);stroke-width:2}
.release{fill:var(--release)}.gap{fill:var(--gap)}.ok{fill:var(--good);opacity:.55}.alarm{fill:var(--bad)}
.excluded{fill:var(--line)}
.mark{stroke-width:2}.mark.bad{stroke:var(--bad)}.mark.other{stroke:var(--bad);stroke-dasharray:2 4;
opacity:.8}
.mark.end{stroke:var(--soft);stroke-dasharray:6 4}.mark.budget{stroke:var(--ink);stroke-dasharray:4 3}
.mark.grid{stroke:var(--line);stroke-width:1}
.rule{stroke-width:5;stroke:var(--tone);stroke-linecap:round;opacity:.65}.rule.base{stroke:var(--line);
stroke-width:1}
.dot{stroke-linecap:round;stroke-width:6;stroke:var(--stable)}.dot.rate{stroke:var(--tone);stroke-width:11}
.row{display:grid;grid-template-columns:8.5rem 1fr 12rem;gap:.3rem 1rem;align-items:center;padding:.2rem 0}
.row b{font-weight:600;overflow-wrap:anywhere}
.row>:last-child{text-align:right;font-size:.9rem}
.group{border-bottom:1px solid var(--line);padding:.45rem 0}
.group h3{margin:0 0 .1rem}
.strip{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;
margin:.8rem 0}
.strip h3{margin:0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 1.5rem}
.key{display:inline-block;width:1.1rem;height:.6rem;margin:0 .3rem 0 .8rem;vertical-align:middle;
border-radius:2px}
.key:first-child{margin-left:0}
.key.line1{height:3px;background:var(--stable)}.key.line2{height:3px;background:var(--canary)}
.key.rel{background:var(--release)}.key.good{background:var(--good);opacity:.55}
.key.bad{background:var(--bad)}
.key.gone{background:var(--gap)}.key.cut{background:none;height:0;border-top:2px dashed var(--soft);
border-radius:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft)}
td.n,th.n{text-align:right;white-space:nowrap}
details{margin:.6rem 0}summary{cursor:pointer}
li{margin:.35rem 0}
ul{padding-left:1.2rem}
@media(max-width:40rem){main{padding:1rem 1rem 3rem}.pair{grid-template-columns:1fr}
.answer p{font-size:1rem}
.row{grid-template-columns:1fr auto;gap:0 .8rem}.row>:nth-child(2){grid-column:1/3;grid-row:2}
.row>:last-child{grid-row:1;grid-column:2}}
@media print{.strip,figure{break-inside:avoid}}
"""
