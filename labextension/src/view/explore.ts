/** A text made of pieces that can be pointed at, or moved to with the arrow keys, to see more of each. */

export interface Explorer {
  show: (piece: HTMLElement, index: number) => void;
  hide: () => void;
}

/** `text` becomes one stop of the Tab key, however many pieces it has. */
export function explorable(text: HTMLElement, pieces: HTMLElement[], explorer: Explorer): void {
  let tabStop = pieces[0];
  pieces.forEach(piece => (piece.tabIndex = -1));
  tabStop?.setAttribute('tabindex', '0');

  const indexOf = (target: EventTarget | null) =>
    pieces.findIndex(piece => piece.contains(target as Node | null));
  const show = (event: Event) => {
    const index = indexOf(event.target);
    const piece = pieces[index];
    if (piece) {
      explorer.show(piece, index);
    }
    return piece;
  };

  text.addEventListener('pointerover', show);
  text.addEventListener('pointerleave', () => explorer.hide());
  text.addEventListener('focusin', event => {
    const piece = show(event);
    if (!piece) {
      return;
    }
    tabStop?.setAttribute('tabindex', '-1');
    piece.setAttribute('tabindex', '0');
    tabStop = piece;
    if (piece.matches(':focus-visible')) {
      // JupyterLab takes the arrow keys before we see them; after a mere click it may have them
      text.dataset.lmSuppressShortcuts = 'true';
    }
  });
  text.addEventListener('focusout', () => {
    delete text.dataset.lmSuppressShortcuts;
    explorer.hide();
  });
  text.addEventListener('keydown', event => {
    const to = destination(event.key, indexOf(event.target), pieces.length);
    if (event.key === 'Escape') {
      explorer.hide();
    } else if (to !== undefined) {
      event.preventDefault();
      pieces[to]?.focus();
    }
  });
}

function destination(key: string, from: number, count: number): number | undefined {
  const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: count - 1 }[key];
  return from < 0 || to === undefined ? undefined : Math.max(0, Math.min(count - 1, to));
}
