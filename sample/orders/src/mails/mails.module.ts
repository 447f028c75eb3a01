import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Mail } from './mail.entity.js';
import { MailsHandler } from './mails.handler.js';

@Module({ imports: [TypeOrmModule.forFeature([Mail])], providers: [MailsHandler] })
export class MailsModule {}
