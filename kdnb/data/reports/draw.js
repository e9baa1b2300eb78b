for (const s of document.querySelectorAll('script.fig-data')) {
  const f = JSON.parse(s.textContent), d = s.previousElementSibling, l = f.layout = f.layout || {};
  if (l.height) d.style.height = l.height + 'px';
  delete l.width;
  l.margin = {l: 60, r: 20, t: l.title?.text ? 60 : 30, b: 50, ...l.margin};
  l.font = {size: 16, ...l.font};
  if (innerWidth < 600) { l.font.size = 13; if (l.title) l.title.font = {size: 15}; }
  if (innerWidth < 600) l.legend = {...l.legend, orientation: 'h', x: 0, xanchor: 'left', y: -.2, yanchor: 'top'};
  Plotly.newPlot(d, {...f, config: {...f.config, responsive: true, displaylogo: false}});
}
const refit = () => document.querySelectorAll('.js-plotly-plot').forEach(d => Plotly.Plots.resize(d));
addEventListener('beforeprint', refit); addEventListener('afterprint', refit);
