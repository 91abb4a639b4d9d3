//! Rounds of disasters under load, in a seeded random order. `CHAOS_SEED` repeats an order; the timing always differs.
//! `CHAOS_PROFILE=bench` removes the failure rates, so that disasters hit a system at full speed.

use std::{env, time::Instant};

use rand::{
    Rng, RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    clients::{Answers, under_load},
    process::Process,
    system::{Options, System},
    takeover::wait_until_taken_over,
};

const ROUNDS: usize = 20;

/// The disasters.
#[derive(Clone, Copy, Debug)]
enum Disaster {
    KillAnOrchestrator,
    KillAParticipant(&'static str),
    KillTwo,
    /// Paused for longer than its lease.
    PauseAnOrchestrator,
    CrashPostgres,
    CutConnections,
}

/// Returns all disasters in random order, repeated.
fn schedule(rng: &mut impl Rng) -> Vec<Disaster> {
    let mut schedule = Vec::new();
    while schedule.len() < ROUNDS {
        let mut deck = vec![
            Disaster::KillAnOrchestrator,
            Disaster::KillTwo,
            Disaster::PauseAnOrchestrator,
            Disaster::CrashPostgres,
            Disaster::CutConnections,
        ];
        deck.extend(domain_services::PARTICIPANTS.map(Disaster::KillAParticipant));
        deck.shuffle(rng);
        schedule.extend(deck);
    }
    schedule.truncate(ROUNDS);
    schedule
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_disaster_all_accepted_purchases_end_and_the_books_agree() {
    let seed = match env::var("CHAOS_SEED") {
        Ok(seed) => seed.parse().expect("CHAOS_SEED is a number"),
        Err(_) => rand::rng().random(),
    };
    println!("CHAOS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options::new(&["a", "b"]).with_transport_faults().set("faults.seed", rng.random::<u32>());
    let system = System::start(options).await;
    let told = Answers::default();
    for (round, disaster) in schedule(&mut rng).into_iter().enumerate() {
        let start = Instant::now();
        under_load(&system, &told, async {
            told.wait_for_more(20).await;
            strike(disaster, &system, &told, &mut rng).await;
            system.wait_for_health().await;
            told.wait_for_sagas(20).await;
        })
        .await;
        system.settle().await;
        told.confirm(&system).await;
        let report = system.audit().await;
        println!(
            "round {round}: {disaster:?}, {:.1} s; {}; {}",
            start.elapsed().as_secs_f64(),
            told.summary(),
            report.money
        );
    }
}

async fn strike(disaster: Disaster, system: &System, told: &Answers, rng: &mut impl Rng) {
    match disaster {
        Disaster::KillAnOrchestrator => {
            let victim = system.orchestrators.choose(rng).unwrap();
            kill(&[victim], told, rng).await;
        }
        Disaster::KillAParticipant(service) => kill(&[&system.participants[service]], told, rng).await,
        Disaster::KillTwo => {
            let mut victims: Vec<&Process> = system.all().collect();
            victims.shuffle(rng);
            println!("killing {} and {}", victims[0].name, victims[1].name);
            kill(&victims[..2], told, rng).await;
        }
        Disaster::PauseAnOrchestrator => {
            let victim = rng.random_range(0..system.orchestrators.len());
            system.orchestrators[victim].pause();
            wait_until_taken_over(system, system.nodes[victim]).await;
            system.orchestrators[victim].resume();
        }
        Disaster::CrashPostgres => {
            system.cluster.crash().await;
            told.wait_for_more(rng.random_range(1..12)).await;
            system.cluster.start_again().await;
        }
        Disaster::CutConnections => {
            for _ in 0..5 {
                system.proxies.values().for_each(|proxy| proxy.cut());
                let sessions =
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ecommerce'";
                system.log().await.run(sessions).await;
                told.wait_for_more(10).await;
            }
        }
    }
}

/// Kills processes at the same time, and restarts them after some more orders.
async fn kill(victims: &[&Process], told: &Answers, rng: &mut impl Rng) {
    victims.iter().for_each(|victim| victim.kill());
    told.wait_for_more(rng.random_range(1..25)).await;
    victims.iter().for_each(|victim| victim.start());
}
