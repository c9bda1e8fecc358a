// The chosen theme, before anything is painted.
try {
  const theme = localStorage.getItem('lovable.theme')
  if (theme) document.documentElement.dataset.theme = theme
} catch {}
