//! A connection is closed by the time of its last activity.

use super::*;

const TIMES: Times =
    Times { head: Duration::from_secs(5), idle: Duration::from_secs(120), write: Duration::from_secs(30) };

#[tokio::test(start_paused = true)]
async fn each_limit_ends_a_connection_when_it_is_over_and_not_a_moment_later() {
    type Case = (&'static str, fn(&Line), Overdue, u64);
    let cases: [Case; 6] = [
        ("no bytes", |_| {}, Overdue::Idle, 120),
        ("half a head", |line| line.read(b"GET "), Overdue::Head, 5),
        ("half a preface", |line| line.read(&PREFACE[..9]), Overdue::Head, 5),
        ("a preface and more", |line| line.read(&[PREFACE, b"\0"].concat()), Overdue::Idle, 120),
        ("a socket that accepts no bytes", Line::blocked, Overdue::Write, 30),
        (
            "an answer that is not taken",
            |line| {
                line.begin(hyper::Version::HTTP_2);
                line.offer();
            },
            Overdue::Write,
            30,
        ),
    ];
    for (name, change, overdue, seconds) in cases {
        let began = Instant::now();
        let line = Line::new(TIMES);
        // Between two checks.
        let later = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            change(&line);
            std::future::pending::<()>().await;
        };
        let found = tokio::select! {
            found = line.overdue() => found,
            () = later => unreachable!("it never ends"),
        };
        let waited = began.elapsed().as_secs() - u64::from(overdue != Overdue::Idle || name.contains("more")) * 3;
        assert_eq!((found, waited), (overdue, seconds), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_at_work_may_take_as_long_as_it_likes() {
    let line = Line::new(TIMES);
    line.read(b"GET / HTTP/1.1\r\n\r\n");
    line.begin(hyper::Version::HTTP_11);
    let waited = tokio::time::timeout(Duration::from_secs(3_600), line.overdue()).await;
    assert!(waited.is_err());
    line.finish();
    assert_eq!(line.overdue().await, Overdue::Idle);
}
