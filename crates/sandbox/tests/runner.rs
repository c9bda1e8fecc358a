//! Verdicts of the code runner, with real compilers.

mod support;

use std::time::Duration;

use sandbox::runner::{Submission, Test, Verdict, Verdicts, judge, languages};
use sandbox::{Limits, SandboxError};
use support::{Bed, bed};

fn tests() -> Vec<Test> {
    let test = |stdin: &str, expected: &str| Test {
        stdin: stdin.into(),
        expected: expected.into(),
    };
    vec![test("1 2\n", "3\n"), test("20 22", "42")]
}

async fn judged(bed: &Bed, language: &str, source: &str) -> Verdicts {
    let limits = Limits {
        memory_bytes: 128 << 20,
        output_bytes: 1 << 20,
        wall: Duration::from_secs(5),
        ..Limits::default()
    };
    let submission = Submission {
        language: language.into(),
        source: source.into(),
        tests: tests(),
        limits,
    };
    let verdicts = judge(&bed.engine, submission).await.expect("a judgement");
    assert!(bed.engine.list().is_empty(), "nothing is left");
    verdicts
}

async fn expect(bed: &Bed, language: &str, verdict: Verdict, source: &str) {
    if !languages().iter().any(|one| one == language) {
        eprintln!("SKIPPED: no {language} here");
        return;
    }
    let got = judged(bed, language, source).await;
    assert_eq!(got.verdict, verdict, "{language}: {got:?}");
    assert_eq!(
        got.cases.len(),
        if verdict == Verdict::CompileError {
            0
        } else {
            2
        }
    );
}

#[tokio::test]
async fn python() {
    use Verdict::{Accepted, MemoryLimit, OutputLimit, RuntimeError, TimeLimit, WrongAnswer};
    let Some(bed) = bed().await else { return };
    expect(
        &bed,
        "python",
        Accepted,
        "print(sum(map(int, input().split())))",
    )
    .await;
    expect(&bed, "python", WrongAnswer, "print(3)").await;
    expect(&bed, "python", RuntimeError, "raise SystemExit(1)").await;
    expect(
        &bed,
        "python",
        RuntimeError,
        "import os\nos.kill(os.getpid(), 11)",
    )
    .await;
    expect(&bed, "python", RuntimeError, "print(").await;
    expect(
        &bed,
        "python",
        MemoryLimit,
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
    )
    .await;
    expect(&bed, "python", OutputLimit, "while True: print('x' * 1000)").await;
    expect(&bed, "python", TimeLimit, "import time\ntime.sleep(1000)").await;
}

#[tokio::test]
async fn javascript() {
    use Verdict::{Accepted, RuntimeError, WrongAnswer};
    let Some(bed) = bed().await else { return };
    let read = "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);";
    expect(
        &bed,
        "javascript",
        Accepted,
        &format!("{read} console.log(a + b)"),
    )
    .await;
    expect(
        &bed,
        "javascript",
        WrongAnswer,
        &format!("{read} console.log(a - b)"),
    )
    .await;
    expect(&bed, "javascript", RuntimeError, "throw new Error('no')").await;
}

#[tokio::test]
async fn compiled_languages() {
    use Verdict::{Accepted, CompileError, MemoryLimit, RuntimeError, TimeLimit};
    let Some(bed) = bed().await else { return };
    let sum =
        "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }";
    expect(&bed, "cpp", Accepted, sum).await;
    expect(&bed, "cpp", CompileError, "int main() { return x; }").await;
    expect(
        &bed,
        "cpp",
        RuntimeError,
        "int main() { volatile int *p = nullptr; return *p; }",
    )
    .await;
    expect(
        &bed,
        "cpp",
        TimeLimit,
        "int main() { for (volatile int i = 0;; i = i + 1); }",
    )
    .await;
    let hungry = "#include <vector>\n#include <cstring>\nint main() { std::vector<char*> v; for (;;) { char *p = new char[1 << 20]; memset(p, 1, 1 << 20); v.push_back(p); } }";
    expect(&bed, "cpp", MemoryLimit, hungry).await;
    let java = "import java.util.*; public class Main { public static void main(String[] a) { Scanner s = new Scanner(System.in); System.out.println(s.nextInt() + s.nextInt()); } }";
    expect(&bed, "java", Accepted, java).await;
    expect(
        &bed,
        "java",
        CompileError,
        "public class Main { int x = \"\"; }",
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_judged() {
    let Some(bed) = bed().await else { return };
    let submission = |language: &str, source: String| Submission {
        language: language.into(),
        source,
        tests: tests(),
        limits: Limits::default(),
    };
    let unknown = judge(&bed.engine, submission("cobol", String::new())).await;
    assert!(matches!(unknown, Err(SandboxError::Invalid(_))));
    let large = judge(&bed.engine, submission("python", "x".repeat(5 << 20))).await;
    assert!(matches!(large, Err(SandboxError::TooMuch { .. })));
}
