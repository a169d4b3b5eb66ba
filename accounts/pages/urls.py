from django.urls import path

from accounts.pages import account, credentials, entrance, invitations, links, organization

urlpatterns = [
    path("register", entrance.register, name="sign_up"),
    path("login", entrance.log_in_page, name="log_in"),
    path("logout", entrance.log_out_page, name="log_out"),
    path("mail-sent", entrance.mail_sent, name="mail_sent"),
    # As accounts.links writes them into mails.
    path("verify-email", links.verify_email_page, name="verify_email_page"),
    path("forgot-password", links.forgot_password, name="forgot_password_page"),
    path("reset-password", links.reset_password_page, name="reset_password_page"),
    path("invitation", links.invitation, name="invitation_page"),
    path("look", links.look, name="look"),
    path("account", account.profile, name="account"),
    path("account/email", credentials.email, name="account_email"),
    path("account/email/send-again", credentials.send_verification_again, name="send_verification_again"),
    path("account/password", credentials.password, name="account_password"),
    path("account/sessions", account.sessions, name="account_sessions"),
    path("account/sessions/others/end", account.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<uuid:id>/end", account.end_session, name="end_session"),
    path("organization", organization.overview, name="organization"),
    path("organization/support", organization.support, name="organization_support"),
    path("organization/members", organization.members, name="member_list"),
    path("organization/members/<uuid:id>", organization.member, name="member_page"),
    path("organization/members/<uuid:id>/deactivate", organization.deactivate, name="deactivate_member"),
    path("organization/members/<uuid:id>/reactivate", organization.reactivate, name="reactivate_member"),
    path("organization/members/<uuid:id>/remove", organization.remove, name="remove_member"),
    path("organization/members/<uuid:id>/hand-over", organization.hand_over, name="hand_over"),
    path("organization/invitations", invitations.invitations, name="invitation_list"),
    path("organization/invitations/<uuid:id>/withdraw", invitations.withdraw, name="withdraw_invitation"),
]
