"use strict";
// Plots that Python made (imatgen_flows/plots), in the colours of the theme; their views and choices are buttons of the page.
function plotsOf(data, { $, element, config, isDark }) {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(", ");
  const inTheDark = new Map(Object.values(data.palette).flatMap(([light, dark]) => [[light, dark], [`rgba(${channels(light)}`, `rgba(${channels(dark)}`]]));
  const themed = (option) => JSON.parse(JSON.stringify(option).replace(/#[0-9a-f]{6}\b|rgba\(\d+, \d+, \d+/g, (light) => (isDark() && inTheDark.get(light)) || light));

  // views of one figure are the buttons of its menu; of a plot with choices each has a figure
  function optionsOf({ figure, choices }) {
    if (choices) return choices.map(({ label, figure }) => ({ label, figure, change: [{}, {}] }));
    const { updatemenus, ...layout } = figure.layout;
    const bare = { data: figure.data, layout };
    return updatemenus ? updatemenus[0].buttons.map(({ label, args }) => ({ label, figure: bare, change: args })) : [{ figure: bare, change: [{}, {}] }];
  }

  // what Plotly.update would do: values for each trace, and for places of the layout
  function apply({ data, layout }, [traces, places]) {
    for (const [key, values] of Object.entries(traces)) data.forEach((trace, number) => { trace[key] = values[number]; });
    for (const [path, value] of Object.entries(places)) {
      const keys = path.split(".");
      const last = keys.pop();
      keys.reduce((at, key) => at[key], layout)[last] = value;
    }
  }

  function painter(plot) {
    const options = optionsOf(plot);
    let chosen = options[0];
    function paint() {
      const { figure, change } = themed(chosen);
      apply(figure, change);
      Plotly.react(plot.id, figure.data, figure.layout, config);
    }
    const place = $(plot.id.replace("-plot", "-switch"));
    if (options.length > 1)
      for (const option of options) {
        const button = element("button", { type: "button", "aria-pressed": option === chosen }, option.label);
        button.addEventListener("click", () => {
          chosen = option;
          for (const other of place.children) other.setAttribute("aria-pressed", other === button);
          paint();
        });
        place.append(button);
      }
    return paint;
  }

  const painters = data.plots.filter(({ id }) => $(id)).map(painter);
  return () => painters.forEach((paint) => paint());
}
