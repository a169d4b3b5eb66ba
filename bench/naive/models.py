import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    plan = models.CharField(max_length=32)
    access = models.CharField(max_length=16)


class User(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    email = models.EmailField(unique=True)
    email_verified = models.BooleanField(default=False)
    name = models.CharField(max_length=200)
    role = models.CharField(max_length=16)
    locale = models.CharField(max_length=16)
    timezone = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    last_login_at = models.DateTimeField(null=True)

    is_active = True
    USERNAME_FIELD = "email"
    objects = BaseUserManager()
