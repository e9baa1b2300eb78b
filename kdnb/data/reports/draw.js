for (const s of document.querySelectorAll('script.fig-data')) {
  const f = JSON.parse(s.textContent), d = s.previousElementSibling, l = f.layout = f.layout || {};
  if (l.height) d.style.height = l.height + 'px';
  delete l.width;
  l.margin = {l: 60, r: 20, t: l.title?.text ? 100 : 50, b: 60, ...l.margin};
  l.font = {size: 16, ...l.font};
  if (innerWidth < 800) {    // a phone: long titles are broken, and a legend has two or three rows
    l.font.size = 13; l.margin.t += 30;
    for (const x of [l, l.xaxis, l.yaxis]) if (x?.title?.text) x.title = {...x.title, text: x.title.text.replace(/(.{18,34}) /g, '$1<br>'), font: {size: x === l ? 15 : 13}};
  }
  Plotly.newPlot(d, {...f, config: {...f.config, responsive: true, displaylogo: false, displayModeBar: innerWidth < 800 ? false : 'hover'}});
}
const refit = () => document.querySelectorAll('.js-plotly-plot').forEach(d => Plotly.Plots.resize(d));
addEventListener('beforeprint', refit); addEventListener('afterprint', refit);
