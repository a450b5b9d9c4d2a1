//! A receiver that refuses a token with status 401.

use super::*;

#[test]
fn a_401_is_answered_with_a_new_token_at_once() {
    let receiver = taking(|number, token| number == 0 || token == "canary-1");
    let scene = Scene::of(giving_tokens(), receiver);
    for _ in 0..3 {
        let outcome = scene.attempt();
        assert_eq!((outcome.status, &outcome.error), (Some(200), &None));
    }
    let expected = ["canary-0", "canary-0", "canary-1", "canary-1"];
    assert_eq!(scene.tokens(), expected);
    for sent in scene.receiver.requests() {
        assert!(sent.ends_with("\r\n\r\n{\"n\":1}"), "{sent}");
    }
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_401_for_the_new_token_as_well_is_the_outcome() {
    let scene = Scene::of(giving_tokens(), taking(|number, _| number == 0));
    scene.succeed();
    let outcome = scene.attempt();
    assert_eq!(outcome.status, Some(401));
    assert_eq!(words(&outcome), "status 401");
    assert_eq!(scene.tokens()[1..], ["canary-0", "canary-1"]);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_401_for_a_token_that_was_fetched_for_the_request_is_final() {
    let scene = Scene::of(giving_tokens(), taking(|_, _| false));
    let outcome = scene.attempt();
    assert_eq!(outcome.status, Some(401));
    assert_eq!(words(&outcome), "status 401");
    assert_eq!(scene.tokens(), ["canary-0"]);
}

#[test]
fn a_final_401_costs_no_second_token_and_stays_the_outcome() {
    let token_endpoint = numbering(|number, _| match number {
        0 => token_answer(0, 3600),
        _ => SERVER_ERROR.to_vec(),
    });
    let scene = Scene::of(token_endpoint, taking(|_, _| false));
    assert_eq!(words(&scene.attempt()), "status 401");
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn a_token_that_is_given_once_more_is_not_sent_again() {
    let token_endpoint = numbering(|_, _| token_answer(0, 3600));
    let scene = Scene::of(token_endpoint, taking(|number, _| number == 0));
    scene.succeed();
    assert_eq!(words(&scene.attempt()), "status 401");
    assert_eq!(scene.tokens(), ["canary-0"; 2]);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_status_other_than_401_fetches_no_new_token() {
    let forbidden = numbering(|_, _| answer("403 Forbidden", ""));
    let scene = Scene::of(giving_tokens(), forbidden);
    for _ in 0..2 {
        assert_eq!(words(&scene.attempt()), "status 403");
    }
    assert_eq!(scene.tokens(), ["canary-0"; 2]);
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn many_threads_whose_token_is_refused_share_the_new_one() {
    let all_came = Barrier::new(16);
    let receiver = taking(move |number, token| {
        let is_taken = number == 0 || token == "canary-1";
        if !is_taken {
            all_came.wait();
        }
        is_taken
    });
    let scene = Scene::of(giving_tokens(), receiver);
    scene.succeed();
    let outcomes = scene.attempt_at_once(16);
    assert!(outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    assert_eq!(scene.receiver.requests().len(), 1 + 2 * 16);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_new_token_that_cannot_be_had_is_the_outcome_and_the_refused_one_is_forgotten() {
    let token_endpoint = numbering(|number, _| match number {
        1 => SERVER_ERROR.to_vec(),
        _ => token_answer(number, 3600),
    });
    let scene = Scene::of(token_endpoint, taking(|number, _| number == 0));
    scene.succeed();
    assert_eq!(
        words(&scene.attempt()),
        "OAuth 2.0: the token endpoint answered with status 500"
    );
    scene.attempt();
    assert_eq!(scene.tokens(), ["canary-0", "canary-0", "canary-2"]);
}
