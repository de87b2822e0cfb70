(function () {
  'use strict';
  document.querySelectorAll('[data-map]').forEach(function (box) {
    var map = JSON.parse(box.getAttribute('data-map'));
    var image = box.querySelector('img');
    var frame = image.parentNode;
    var label = document.createElement('label');
    var slider = document.createElement('input');
    var says = document.createElement('p');
    slider.type = 'range';
    slider.min = 0;
    slider.max = map.texts.length - 1;
    slider.value = 0;
    label.append('Frame ', slider);
    says.className = 'readout';
    slider.title = 'Move the slider, or point at a dot';
    box.append(label, says);
    var canvas = document.createElement('canvas');
    var pen = canvas.getContext('2d');
    var sprite = null;
    canvas.className = 'preview';
    canvas.width = canvas.height = 288;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'The frame that is chosen');
    if (map.sprite) {
      sprite = new Image();
      sprite.src = map.sprite;
    }
    if (map.sprite || map.faces) { box.append(canvas); }
    function draw(index) {
      pen.clearRect(0, 0, 288, 288);
      if (sprite) {
        var side = map.side, columns = map.columns;
        pen.drawImage(sprite, side * (index % columns),
          side * Math.floor(index / columns), side, side, 0, 0, 288, 288);
      } else if (map.faces) {
        pen.strokeStyle = '#24292f';
        pen.lineWidth = 3;
        map.lines.forEach(function (line) {
          pen.beginPath();
          line.forEach(function (point) {
            pen.lineTo(2.88 * map.faces[index][2 * point],
              2.88 * map.faces[index][2 * point + 1]);
          });
          pen.stroke();
        });
      }
    }
    frame.style.position = 'relative';
    var rings = map.places.map(function () {
      var ring = document.createElement('span');
      ring.className = 'ring';
      ring.hidden = true;
      frame.append(ring);
      return ring;
    });
    function show(index) {
      rings.forEach(function (ring, panel) {
        var at = map.places[panel][index];
        ring.hidden = false;
        ring.style.left = image.offsetLeft + at[0] * image.offsetWidth + 'px';
        ring.style.top = image.offsetTop + at[1] * image.offsetHeight + 'px';
      });
      slider.value = index;
      slider.setAttribute('aria-valuetext', map.texts[index]);
      says.textContent = map.texts[index];
      draw(index);
    }
    function nearest(event) {
      var area = image.getBoundingClientRect();
      var best = 400, closest = -1;
      map.places.forEach(function (places) {
        places.forEach(function (at, index) {
          var x = area.left + at[0] * area.width - event.clientX;
          var y = area.top + at[1] * area.height - event.clientY;
          if (x * x + y * y < best) {
            best = x * x + y * y;
            closest = index;
          }
        });
      });
      if (closest >= 0) { show(closest); }
    }
    if (sprite) {
      sprite.addEventListener('load', function () { show(+slider.value); });
    } else {
      show(0);
    }
    slider.addEventListener('input', function () { show(+slider.value); });
    image.addEventListener('pointermove', nearest);
    image.addEventListener('pointerdown', nearest);
    window.addEventListener('resize', function () {
      if (!rings[0].hidden) { show(+slider.value); }
    });
  });
  var films = Array.from(document.querySelectorAll('video'));
  if (!films.length) { return; }
  var button = document.createElement('button');
  var playing = !window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  button.type = 'button';
  function set() {
    button.textContent = playing ? 'Pause the films' : 'Play the films';
    films.forEach(function (film) {
      if (playing) { film.play(); } else { film.pause(); }
    });
  }
  films.forEach(function (film) { film.removeAttribute('controls'); });
  button.addEventListener('click', function () {
    playing = !playing;
    set();
  });
  films[0].closest('section').querySelector('h2').after(button);
  set();
})();
