export default function App() {
  return (
    <main>
      <h1>It works</h1>
      <p>Edit src/App.tsx to begin.</p>
    </main>
  )
}
