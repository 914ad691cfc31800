// Shows the values under the pointer. The page is complete without it.
for (const chart of document.querySelectorAll('.chart')) {
  const svg = chart.querySelector('svg'), cursor = chart.querySelector('.cursor'), tip = chart.querySelector('.tip');
  const data = JSON.parse(chart.querySelector('script').textContent);
  chart.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    let nearest = null;
    for (const line of data.lines) {
      line.at.forEach((at, i) => {
        if (!nearest || Math.abs(at - x) < Math.abs(nearest.at - x)) nearest = { at, label: line.label[i] };
      });
    }
    if (!nearest) return;
    cursor.setAttribute('x1', nearest.at);
    cursor.setAttribute('x2', nearest.at);
    cursor.style.visibility = 'visible';
    tip.replaceChildren(`${data.x} ${nearest.label}`);
    for (const line of data.lines) {
      let best = -1;
      line.at.forEach((at, i) => { if (best < 0 || Math.abs(at - nearest.at) < Math.abs(line.at[best] - nearest.at)) best = i; });
      if (best < 0) continue;
      const row = document.createElement('div'), value = document.createElement('b');
      row.className = 'c' + line.color;
      value.textContent = line.value[best];
      row.append(value, ' ' + line.name + (line.label[best] === nearest.label ? '' : ` (${data.x} ${line.label[best]})`));
      tip.append(row);
    }
    tip.hidden = false;
    const place = nearest.at / svg.viewBox.baseVal.width * box.width;
    tip.style.left = place > box.width / 2 ? `${place - tip.offsetWidth - 12}px` : `${place + 12}px`;
  });
  chart.addEventListener('pointerleave', () => { tip.hidden = true; cursor.style.visibility = 'hidden'; });
}
